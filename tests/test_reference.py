"""The references of reference/ against what mathematics says of them: closed forms, limits, and each other.

So that a slip in a reference, which law 2 would carry into the engine, has to be made twice.
"""

import numpy as np
import pytest

from reference import (
    ctrnn,
    elman,
    elman_jordan,
    fully_recurrent,
    gated_feedback,
    gru,
    indrnn,
    jordan,
    lru,
    lstm,
    mgu,
    min_gru,
    min_lstm,
    mlstm,
    mtrnn,
    qrnn,
    recurrent_mlp,
    second_order,
    sequence,
    simplified_gru,
    slstm,
    sru,
)
from reference.activations import sigmoid

I, H, T = 3, 4, 6
RNG = np.random.default_rng(0)


def draw(*shape):
    return 0.6 * RNG.normal(size=shape)


@pytest.fixture(autouse=True)
def _the_same_numbers_whatever_ran_before():
    RNG.bit_generator.state = START


X = draw(T, I)
W, U, B, START = draw(H, I), draw(H, H), draw(H), RNG.bit_generator.state


def run(cell, p, options=None, x=X, state=None):
    """y (T, width) of one sequence, from zero unless a state is given."""
    widths = cell.states(options or {}, H).values()
    state = tuple(np.zeros(width) for width in widths) if state is None else state
    return np.array(sequence.one_direction(cell, p, options or {}, x, state)[0])


def close(a, b, rtol=1e-12):
    np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-14)


ELMAN = run(elman, {"weight_ih": W, "weight_hh": U, "bias_ih": B, "bias_hh": 0 * B})


def test_where_they_are_elmans_network():
    """Every first-order cell with what it adds switched off."""
    p = {"weight_ih": W, "weight_hh": U, "bias": B}
    close(run(fully_recurrent, p, {"nonlinearity": "tanh"}), ELMAN)
    close(run(fully_recurrent, p, {"nonlinearity": "tanh", "output_units": 1}), ELMAN[:, -1:])
    close(
        run(indrnn, p | {"weight_hh": B}, {"nonlinearity": "tanh"}),
        run(elman, p | {"weight_hh": np.diag(B), "bias_ih": B}),
    )
    close(run(recurrent_mlp, {"weight_in_0": W, "weight_rec_0": U, "bias_0": B}, {"num_hidden": 1}), ELMAN)
    only_first_order = p | {"weight": np.zeros((H, H, I))}
    close(run(second_order, only_first_order, {"first_order": True, "nonlinearity": "tanh"}), ELMAN)


def test_input_units_are_the_first_ones():
    padded = {"weight_ih": np.vstack([W[:2], np.zeros((2, I))]), "weight_hh": U, "bias": B}
    close(run(fully_recurrent, padded | {"weight_ih": W[:2]}, {"input_units": 2}), run(fully_recurrent, padded))


def test_a_second_order_network_has_a_matrix_for_each_symbol():
    """One-hot inputs choose among the transitions of an automaton (Giles et al. 1992)."""
    p = {"weight": draw(H, H, I), "bias": B}
    h, symbols = np.full(H, 0.5), [2, 0, 1, 1]
    got = run(second_order, p, x=np.eye(I)[symbols], state=(h,))
    for y, symbol in zip(got, symbols, strict=True):
        h = sigmoid(p["weight"][:, :, symbol] @ h + B)
        close(y, h)


def test_layers_of_a_recurrent_mlp_without_feedback_are_a_stack():
    p = {
        f"{name}_{k}": draw(H, I if name == "weight_in" and k == 0 else H)
        for name in ("weight_in", "weight_rec")
        for k in (0, 1)
    }
    below = run(elman, {"weight_ih": p["weight_in_0"], "weight_hh": p["weight_rec_0"]})
    above = run(elman, {"weight_ih": p["weight_in_1"], "weight_hh": p["weight_rec_1"]}, x=below)
    close(run(recurrent_mlp, p, {"feedback": False}), above)
    # Feedback to the lower layer is the upper layer's state of the step before, which starts at zero.
    p |= {"weight_back_0": draw(H, H)}
    h0, h1 = np.zeros(H), np.zeros(H)
    for x, y in zip(X, run(recurrent_mlp, p), strict=True):
        h0 = np.tanh(p["weight_in_0"] @ x + p["weight_rec_0"] @ h0 + p["weight_back_0"] @ h1)
        h1 = np.tanh(p["weight_in_1"] @ h0 + p["weight_rec_1"] @ h1)
        close(y, h1)


def test_what_jordans_network_remembers_is_a_decaying_sum_of_outputs():
    options = {"output_size": 2, "decay": 0.7}
    p = {"weight_ih": W, "weight_sh": draw(H, 2), "weight_ho": draw(2, H), "bias_h": B, "bias_o": draw(2)}
    y = run(jordan, p, options)
    for t in range(T):
        past = sum((0.7**k * y[t - 1 - k] for k in range(t)), np.zeros(2))
        close(y[t], sigmoid(p["weight_ho"] @ np.tanh(W @ X[t] + p["weight_sh"] @ past + B) + p["bias_o"]))
    close(run(elman_jordan, p | {"weight_hh": 0 * U}, options), y)
    alone = run(elman_jordan, p | {"weight_hh": U, "weight_sh": np.zeros((H, 2))}, options)
    close(alone, sigmoid(ELMAN @ p["weight_ho"].T + p["bias_o"]))


def test_gates_of_one_number_scale_what_each_layer_sends():
    """Gated feedback with gates held open is a stack in which every layer sees all states; closed, none."""
    rows = {"weight_gx_0": np.zeros((2, I)), "weight_gx_1": np.zeros((2, H)), "weight_gh_0": np.zeros((2, 2 * H))}
    p = rows | {
        "weight_gh_1": np.zeros((2, 2 * H)),
        "weight_ih_0": W,
        "weight_ih_1": draw(H, H),
        "bias_0": B,
        "bias_1": B,
    }
    p |= {"weight_fb_0": draw(2 * H, H), "weight_fb_1": draw(2 * H, H)}
    h = [np.zeros(H), np.zeros(H)]
    for x, y in zip(X, run(gated_feedback, p, {"unit": "tanh"}), strict=True):
        below, old = x, h
        h = []
        for j in (0, 1):
            sent = [p[f"weight_fb_{j}"][i * H : (i + 1) * H] @ old[i] for i in (0, 1)]
            below = np.tanh(p[f"weight_ih_{j}"] @ below + 0.5 * (sent[0] + sent[1]) + B)
            h.append(below)
        close(y, h[1])


def test_one_layer_of_gated_feedback_with_an_open_gate_is_the_unit_alone():
    open_gate = {"weight_gx_0": np.array([[1e6, 0.0, 0.0]]), "weight_gh_0": np.zeros((1, H)), "weight_fb_0": U}
    x = np.abs(X) + 0.1
    w3, u2, b3 = draw(3 * H, I), draw(2 * H, H), draw(3 * H)
    got = run(
        gated_feedback,
        open_gate | {"weight_ih_0": w3, "weight_hh_0": u2, "bias_0": b3},
        {"unit": "gru", "num_hidden": 1},
        x,
    )
    # torch's z keeps the old state where the paper's takes the new one: σ(-a) = 1 - σ(a).
    turn = np.repeat([1.0, -1.0, 1.0], H)
    same = {"weight_ih": turn[:, None] * w3, "weight_hh": np.vstack([u2[:H], -u2[H:], U]), "bias_ih": turn * b3}
    close(got, run(gru, same | {"bias_hh": 0 * b3}, x=x))
    w4, u3, b4 = draw(4 * H, I), draw(3 * H, H), draw(4 * H)
    got = run(gated_feedback, open_gate | {"weight_ih_0": w4, "weight_hh_0": u3, "bias_0": b4}, {"num_hidden": 1}, x)
    u4 = np.vstack([u3[: 2 * H], U, u3[2 * H :]])
    close(got, run(lstm, {"weight_ih": w4, "weight_hh": u4, "bias_ih": b4, "bias_hh": 0 * b4}, x=x))


def test_a_linear_network_in_continuous_time_follows_its_exponential():
    """τ u' = (W - 1) u + d has u(dt) = e + exp((W - 1) dt/τ) (u(0) - e), e the equilibrium; the orders are 1 and 4."""
    p, u, dt, tau = {"weight_ih": W, "weight_hh": U, "bias": B}, draw(H), 0.8, 1.7
    A = (U - np.eye(H)) / tau
    rates, vectors = np.linalg.eig(A)
    equilibrium = np.linalg.solve(-A, (W @ X[0] + B) / tau)
    exact = equilibrium + (vectors @ np.diag(np.exp(rates * dt)) @ np.linalg.inv(vectors)).real @ (u - equilibrium)
    linear = {"nonlinearity": "identity", "time_constant": tau}
    for method, order in (("euler", 1), ("rk4", 4)):
        errors = [
            np.abs(run(ctrnn, p, linear | {"method": method, "dt": dt, "substeps": n}, X[:1], (u,)) - exact).max()
            for n in (16, 32)
        ]
        assert errors[0] / errors[1] == pytest.approx(2.0**order, rel=0.15)
    stamped = np.append(X[0], dt)[None]
    learned = p | {"log_tau": np.full(H, np.log(tau))}
    options = {
        "nonlinearity": "identity",
        "timestamps": True,
        "learn_time_constants": True,
        "method": "rk4",
        "substeps": 64,
    }
    close(run(ctrnn, learned, options, stamped, (u,))[0], exact, rtol=1e-6)


def test_a_step_of_eulers_method_is_a_leaky_unit():
    """Groups of one time constant, all connected, are the network in continuous time; with τ = 1, Elman's."""
    p = {"weight_ih": W, "weight_hh": U, "bias": B}
    groups = {"groups": [1, 3], "input_groups": [0, 1]}
    close(run(mtrnn, p, groups | {"time_constants": [4.0, 4.0]}), run(ctrnn, p, {"time_constant": 4.0}))
    close(run(mtrnn, p, groups | {"time_constants": [1.0, 1.0]}), ELMAN)
    # Three groups: the first and the last do not see each other, and the input reaches the first alone.
    mask = np.array([[1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 1]])
    masked = {"weight_ih": W * [[1], [0], [0], [0]], "weight_hh": U * mask, "bias": B}
    close(run(mtrnn, p, {"groups": [1, 2, 1], "time_constants": [1.0] * 3}), run(elman, masked | {"bias_ih": B}))


def test_gated_units_whose_gates_stand_still():
    still = {
        "weight_ih": np.vstack([0 * W, W]),
        "weight_hh": np.vstack([0 * U, U]),
        "bias": np.append(np.full(H, 40.0), B),
    }
    close(run(mgu, still), ELMAN)
    w, b = draw(H, I), draw(3 * H)
    u = np.vstack([0 * U, 0 * U, U])
    constant = run(simplified_gru, {"weight_ih": w, "weight_hh": U, "bias": b}, {"kind": 3})
    close(run(simplified_gru, {"weight_ih": w, "weight_hh": u, "bias": b}), constant)
    half = {"weight_ih": w, "weight_hh": u, "bias": b[2 * H :]}
    close(
        run(simplified_gru, half, {"kind": 2}),
        run(simplified_gru, half | {"bias": np.append(np.zeros(2 * H), half["bias"])}),
    )
    # The GRU whose gates do not see x, its z turned.
    u = draw(3 * H, H)
    same = {"weight_ih": np.vstack([0 * w, 0 * w, w]), "weight_hh": u * np.repeat([1, -1, 1], H)[:, None]}
    same |= {"bias_ih": b * np.repeat([1, -1, 1], H), "bias_hh": 0 * b}
    close(run(simplified_gru, {"weight_ih": w, "weight_hh": u, "bias": b}), run(gru, same, {"reset_after": False}))


def kept(f, new):
    """h(t) = f(t) h(t-1) + new(t) as a sum over all that was ever written: Σ_s (Π_{r>s} f(r)) new(s)."""
    return np.array([sum(f[s + 1 : t + 1].prod(0) * new[s] for s in range(t + 1)) for t in range(len(new))])


def test_linear_recurrences_are_weighted_sums():
    w, b = draw(3 * H, I), draw(3 * H)
    first, second, third = np.split(X @ w.T + b, 3, axis=1)
    z = sigmoid(first)
    close(run(min_gru, {"weight_ih": w[: 2 * H], "bias": b[: 2 * H]}), kept(1 - z, z * second))
    f = sigmoid(first) / (sigmoid(first) + sigmoid(second))
    close(run(min_lstm, {"weight_ih": w, "bias": b}), kept(f, (1 - f) * third))
    w = draw(4 * H, I)
    f, r = sigmoid(X @ w[H : 2 * H].T + b[:H]), sigmoid(X @ w[2 * H : 3 * H].T + b[H : 2 * H])
    c = kept(f, (1 - f) * (X @ w[:H].T))
    close(run(sru, {"weight_ih": w, "bias": b[: 2 * H]}), r * c + (1 - r) * (X @ w[3 * H :].T))
    # Of equal widths x itself is what is skipped to: as with a W_s that is the identity.
    narrow = {"weight_ih": draw(3 * H, H), "bias": b[: 2 * H]}
    cut = narrow | {"weight_ih": np.vstack([narrow["weight_ih"][:, :I], np.eye(H, I)])}
    x = np.hstack([X, np.zeros((T, H - I))])
    close(run(sru, narrow, x=x), run(sru, cut))


def test_a_complex_recurrence_is_a_sum_of_powers():
    p = {name: draw(H) for name in ("nu_log", "theta_log", "gamma_log")}
    p |= {"B_re": draw(H, I), "B_im": draw(H, I), "C_re": draw(2, H), "C_im": draw(2, H), "D": draw(2, I)}
    size, angle = np.exp(-np.exp(p["nu_log"])), np.exp(p["theta_log"])
    y = run(lru, p, {"output_size": 2})
    for t in range(T):
        powers = [size ** (t - s) * np.exp(1j * (t - s) * angle) for s in range(t + 1)]
        gain = np.exp(p["gamma_log"]) * np.sqrt(1 - size * size)
        h = sum(power * gain * ((p["B_re"] + 1j * p["B_im"]) @ X[s]) for s, power in enumerate(powers))
        close(y[t], p["C_re"] @ h.real - p["C_im"] @ h.imag + p["D"] @ X[t])


@pytest.mark.parametrize("pooling", ["f", "fo", "ifo"])
@pytest.mark.parametrize("kernel_size", [1, 2, 4])
def test_a_quasi_recurrent_network_is_a_convolution_and_a_pooling(pooling, kernel_size):
    rows = (1 + len(pooling)) * H
    w, b = draw(rows, kernel_size * I), draw(rows)
    padded = np.vstack([np.zeros((kernel_size - 1, I)), X])
    windows = [np.concatenate([padded[t + kernel_size - 1 - j] for j in range(kernel_size)]) for t in range(T)]
    a_z, *gates = np.split(np.array(windows) @ w.T + b, 1 + len(pooling), axis=1)
    f, *rest = map(sigmoid, gates)
    c = kept(f, (rest[1] if pooling == "ifo" else 1 - f) * np.tanh(a_z))
    got = run(qrnn, {"weight_ih": w, "bias": b}, {"pooling": pooling, "kernel_size": kernel_size})
    close(got, c if pooling == "f" else rest[0] * c)


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
def test_the_stabilised_slstm_is_the_plain_one(forget):
    """Equations 8 to 14, in which the exponentials stand bare; head by head."""
    w, r, b = draw(4 * H, I), draw(4 * H, 2), draw(4 * H)
    got = run(slstm, {"weight_ih": w, "weight_hh": r, "bias": b}, {"heads": 2, "forget": forget})
    R = np.zeros((4, H, H))
    for gate in range(4):
        for unit in range(H):
            head = unit // 2
            R[gate, unit, 2 * head : 2 * head + 2] = r[gate * H + unit]
    h, c, n = np.zeros(H), np.zeros(H), np.zeros(H)
    for x, y in zip(X, got, strict=True):
        a_i, a_f, a_z, a_o = (w @ x + b).reshape(4, H) + R @ h
        i, f = np.exp(a_i), np.exp(a_f) if forget == "exp" else sigmoid(a_f)
        c, n = f * c + i * np.tanh(a_z), f * n + i
        h = sigmoid(a_o) * c / n
        close(y, h)


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
def test_the_stabilised_mlstm_is_attention_with_gates(forget):
    """C and n written out as sums over all keys and values; the bound on the denominator is 1 in plain numbers."""
    w, b, gates, g = draw(4 * H, I), draw(4 * H), draw(4, I), draw(4)
    p = {"weight_ih": w, "bias": b, "weight_gates": gates, "bias_gates": g}
    got = run(mlstm, p, {"heads": 2, "forget": forget})
    q, k, v, o = np.split(X @ w.T + b, 4, axis=1)
    i, f = np.split(X @ gates.T + g, 2, axis=1)
    i, f = np.exp(i), np.exp(f) if forget == "exp" else sigmoid(f)
    for head, own in enumerate((slice(0, 2), slice(2, 4))):
        for t in range(T):
            weights = [
                f[s + 1 : t + 1, head].prod() * i[s, head] * (k[s, own] @ q[t, own]) / np.sqrt(2) for s in range(t + 1)
            ]
            attended = sum(weight * v[s, own] for s, weight in enumerate(weights))
            close(got[t, own], sigmoid(o[t, own]) * attended / max(abs(sum(weights)), 1.0), rtol=1e-11)


def test_gates_of_the_lstm_that_are_not_there_are_one():
    """A gate is held open by a large bias; full gate recurrence without weights is none; tanh is linear near zero."""
    w, u, b = draw(4 * H, I), draw(4 * H, H), draw(4 * H)

    def lacking(gate):
        left = np.delete(np.arange(4 * H), slice(gate * H, (gate + 1) * H))
        held = [array.copy() for array in (w, u, b)]
        for array, value in zip(held, (0.0, 0.0, 40.0), strict=True):
            array[gate * H : (gate + 1) * H] = value
        names = ("weight_ih", "weight_hh", "bias_ih")
        return dict(zip(names, held, strict=True)), {n: a[left] for n, a in zip(names, (w, u, b), strict=True)}

    for gate, option in ((0, "input_gate"), (1, "forget_gate"), (3, "output_gate")):
        held, without = lacking(gate)
        close(run(lstm, without, {option: False}), run(lstm, held))
    plain = {"weight_ih": w, "weight_hh": u, "bias_ih": b}
    fgr = {"full_gate_recurrence": True}
    close(run(lstm, plain | {"weight_gates": np.zeros((3 * H, 3 * H))}, fgr), run(lstm, plain))
    # What the old gates add is a bias of the next step: after gates held open it is W_gates' row sums.
    one, g = np.full(H, 1.0), draw(3 * H, 3 * H)
    shifted = plain | {"bias_ih": b + np.insert(g.sum(1), 2 * H * np.ones(H, int), 0.0)}
    zero = np.zeros(H)
    close(run(lstm, plain | {"weight_gates": g}, fgr, X[:1], (zero, zero, one, one, one)), run(lstm, shifted, x=X[:1]))
    small = {name: 1e-5 * value for name, value in plain.items()}
    for option in ("input_activation", "output_activation"):
        close(run(lstm, small, {option: False}), run(lstm, small), rtol=1e-8)
        assert np.abs(run(lstm, plain, {option: False}) - run(lstm, plain)).max() > 1e-2
