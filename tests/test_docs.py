"""The documentation is run: docstrings of the package, and every Python block of README.md and docs/*.md."""

import doctest
import importlib
import pkgutil
import re
import sys
from pathlib import Path

import pytest

import rnnrs

ROOT = Path(__file__).parent.parent
MODULES = ["rnnrs", *(f"rnnrs.{m.name}" for m in pkgutil.iter_modules(rnnrs.__path__) if m.name != "__main__")]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert not failed


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    count = sum(bool(t.examples) for name in MODULES for t in finder.find(importlib.import_module(name)))
    assert count >= 5


def blocks(page):
    """The fenced blocks in Python, with the lines they begin on; one marked `no-run` is only compiled."""
    text = page.read_text(encoding="utf-8")
    for match in re.finditer(r"^```(?:python|py)([^\n]*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield match[1].strip(), match[2], text.count("\n", 0, match.start()) + 2


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_pages(page, tmp_path, monkeypatch):
    """One page is one program: its blocks run in order, each seeing what those before it made."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": page.stem}
    for flags, code, line in blocks(page):
        if "no-run" in flags:
            compile(code, f"{page.name}:{line}", "exec")
        elif code.lstrip().startswith(">>>"):
            test = doctest.DocTestParser().get_doctest(code, names, page.name, str(page), line - 1)
            result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, clear_globs=False)
            names.update(test.globs)
            assert not result.failed, f"{page.name}:{line}"
        else:
            exec(compile("\n" * (line - 1) + code, str(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    """Links and pictures within the repository exist."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:|#", target):
            assert (page.parent / target.split("#")[0]).exists(), f"{page.name}: {target}"


def test_the_readme_has_runnable_blocks():
    assert list(blocks(ROOT / "README.md"))


def test_everything_public_is_documented():
    for name in rnnrs.__all__:
        thing = getattr(rnnrs, name)
        if name != "__version__":
            assert thing.__doc__, name


def test_importing_is_light(run_script):
    """Beyond NumPy and itself rnnrs imports small parts of the standard library alone, so that it starts at once."""
    code = "import sys, numpy\nbefore = set(sys.modules)\nimport rnnrs\nprint(*(set(sys.modules) - before))\n"
    imported = run_script(code).split()
    assert "rnnrs._core" in imported
    assert {name.split(".")[0] for name in imported} <= {*sys.stdlib_module_names, "numpy", "rnnrs"}
    assert len([name for name in imported if not name.startswith("rnnrs")]) < 60


def test_the_cell_that_is_shown_is_the_cell():
    shown = re.search(r"^```rust,ignore\n(.*?)^```", (ROOT / "docs/adding-a-cell.md").read_text("utf-8"), re.M | re.S)
    assert shown[1] == (ROOT / "rust/src/cells/mgu.rs").read_text("utf-8")
