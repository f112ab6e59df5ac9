//! The table of primitives: one file each, one line here each.

use super::primitive::{Evaluation, Primitive};
use super::{Kind, Type, Vjp};
use crate::kernels::Elementwise;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;

type Attributes = Map<String, Json>;
type Make = fn(&Attributes) -> Result<Arc<dyn Primitive>, String>;

/// Declares the modules of primitives and the table by which files are read.
macro_rules! table {
    ($($module:ident { $($primitive:ident $name:literal $version:literal $make:expr),* $(,)? })*) => {
        $(mod $module; #[allow(unused_imports, reason = "some have functions of their own besides")] pub use $module::*;)*

        /// Every primitive: its name in files, its version, and how it is made from its attributes.
        pub const TABLE: &[(&str, u32, Make)] = &[$($(($name, $version, $make)),*),*];
    };
}

table! {
    add { Add "add" 1 |_| plain(Add) }
    sub { Sub "sub" 1 |_| plain(Sub) }
    mul { Mul "mul" 1 |_| plain(Mul) }
    div { Div "div" 1 |_| plain(Div) }
    neg { Neg "neg" 1 |_| plain(Neg) }
    fma { Fma "fma" 1 |_| plain(Fma) }
    sigmoid { Sigmoid "sigmoid" 1 |_| plain(Sigmoid) }
    tanh { Tanh "tanh" 1 |_| plain(Tanh) }
    relu { Relu "relu" 1 |_| plain(Relu) }
    exp { Exp "exp" 1 |_| plain(Exp) }
    log { Log "log" 1 |_| plain(Log) }
    softplus { Softplus "softplus" 1 |_| plain(Softplus) }
    sqrt { Sqrt "sqrt" 1 |_| plain(Sqrt) }
    greater { Greater "greater" 1 |_| plain(Greater) }
    equal { Equal "equal" 1 |_| plain(Equal) }
    select { Select "select" 1 |_| plain(Select) }
    flush { Flush "flush" 1 |_| plain(Flush) }
    stop { Stop "stop" 1 |_| plain(Stop) }
    sin { Sin "sin" 1 |_| plain(Sin) }
    cos { Cos "cos" 1 |_| plain(Cos) }
    abs { Abs "abs" 1 |_| plain(Abs) }
    sign { Sign "sign" 1 |_| plain(Sign) }
    floor { Floor "floor" 1 |_| plain(Floor) }
    minimum { Minimum "minimum" 1 |_| plain(Minimum) }
    maximum { Maximum "maximum" 1 |_| plain(Maximum) }
    step { Step "step" 1 |a| plain(Step::from_attributes(a)?) }
    sum { Sum "sum" 1 |a| plain(Sum { axis: axis(a)? }) }
    max { Max "max" 1 |a| plain(Max { axis: axis(a)? }) }
    argmax { Argmax "argmax" 1 |a| plain(Argmax { axis: place(a)? }) }
    cumsum { Cumsum "cumsum" 1 |a| plain(Cumsum::from_attributes(a)?) }
    cumprod {
        Cumprod "cumprod" 1 |a| plain(Cumprod { axis: place(a)? }),
        CumprodGradient "cumprod_gradient" 1 |a| plain(CumprodGradient { axis: place(a)? }),
    }
    roll { Roll "roll" 1 |a| plain(Roll::from_attributes(a)?) }
    argsort { Argsort "argsort" 1 |a| plain(Argsort { axis: place(a)? }) }
    take {
        Take "take" 1 |_| plain(Take),
        ScatterAdd "scatter_add" 1 |a| plain(ScatterAdd { count: size(a, "count")? }),
    }
    broadcast { Broadcast "broadcast" 1 |a| plain(Broadcast { shape: sizes(a, "shape")?, axis: axis(a)? }) }
    slice { Slice "slice" 1 |a| plain(Slice { from: size(a, "from")?, to: size(a, "to")?, axis: place(a)? }) }
    pad { Pad "pad" 1 |a| plain(Pad { before: size(a, "before")?, total: size(a, "total")?, axis: place(a)? }) }
    concat { Concat "concat" 1 |a| plain(Concat { axis: place(a)? }) }
    reshape { Reshape "reshape" 1 |a| plain(Reshape { shape: sizes(a, "shape")? }) }
    transpose { Transpose "transpose" 1 |_| plain(Transpose) }
    matmul { MatMul "matmul" 1 |a| plain(MatMul::from_attributes(a)?) }
    solve { Solve "solve" 1 |a| plain(Solve { transposed: flag(a, "transposed")? }) }
    linear { Linear "linear" 1 |_| plain(Linear) }
    linear_transposed { LinearTransposed "linear_transposed" 1 |_| plain(LinearTransposed) }
    affine { Affine "affine" 1 |a| plain(Affine::from_attributes(a)?) }
    gather { Gather "gather" 1 |_| plain(Gather) }
    pick { Pick "pick" 1 |_| plain(Pick) }
    place { Place "place" 1 |a| plain(Place { width: size(a, "width")? }) }
    draw {
        Draw "bernoulli" 1 |a| plain(Draw::from_attributes(a, draw::bernoulli)?),
        Draw "uniform" 1 |a| plain(Draw::from_attributes(a, draw::uniform)?),
        Draw "normal" 1 |a| plain(Draw::from_attributes(a, draw::normal)?),
    }
    accumulate {
        AccumulateSum "accumulate_sum" 1 |_| plain(AccumulateSum),
        AccumulateOuter "accumulate_outer" 1 |_| plain(AccumulateOuter),
        AccumulateRows "accumulate_rows" 1 |a| plain(AccumulateRows { rows: size(a, "rows")? }),
    }
}

fn plain<P: Primitive + 'static>(primitive: P) -> Result<Arc<dyn Primitive>, String> {
    Ok(Arc::new(primitive))
}

fn size(attributes: &Attributes, key: &str) -> Result<usize, String> {
    let found = attributes.get(key);
    found
        .and_then(Json::as_u64)
        .and_then(|n| usize::try_from(n).ok())
        .ok_or_else(|| format!("expected attribute '{key}' to be a size, got {found:?}"))
}

fn sizes(attributes: &Attributes, key: &str) -> Result<Vec<usize>, String> {
    let found = attributes.get(key).and_then(Json::as_array);
    let all = found.and_then(|a| a.iter().map(|n| n.as_u64().and_then(|n| usize::try_from(n).ok())).collect());
    all.ok_or_else(|| format!("expected attribute '{key}' to be a list of sizes, got {:?}", attributes.get(key)))
}

fn flag(attributes: &Attributes, key: &str) -> Result<bool, String> {
    let found = attributes.get(key);
    found.and_then(Json::as_bool).ok_or_else(|| format!("expected attribute '{key}' to be a boolean, got {found:?}"))
}

/// The attribute "axis" of a reduction: absent or null for all elements.
fn axis(attributes: &Attributes) -> Result<Option<usize>, String> {
    match attributes.get("axis") {
        None | Some(Json::Null) => Ok(None),
        Some(_) => size(attributes, "axis").map(Some),
    }
}

/// The attribute "axis" of what works along one: 0 where absent.
fn place(attributes: &Attributes) -> Result<usize, String> {
    Ok(axis(attributes)?.unwrap_or(0))
}

fn axis_attribute(axis: Option<usize>) -> Attributes {
    axis.map(|axis| ("axis".to_string(), json!(axis))).into_iter().collect()
}

fn place_attribute(axis: usize) -> Attributes {
    axis_attribute((axis > 0).then_some(axis))
}

/// The type of what works along an axis: that of its only argument, a vector or matrix.
fn along(args: &[&Type], axis: usize) -> Result<Type, String> {
    let ty = same_shape::<1>(args)?;
    if axis >= ty.shape.len() || ty.shape.len() > 2 {
        return Err(format!("expected a vector or matrix with axis {axis}, got {ty}"));
    }
    Ok(ty)
}

/// The type of a reduction of all elements, or along an axis.
fn reduced(args: &[&Type], axis: Option<usize>) -> Result<Type, String> {
    let Some(axis) = axis else {
        same_shape::<1>(args)?;
        return Ok(Type::float(&[]));
    };
    let mut shape = along(args, axis)?.shape;
    shape.remove(axis);
    Ok(Type::float(&shape))
}

/// Rows and columns of a matrix.
fn matrix(ty: &Type) -> Result<(usize, usize), String> {
    match ty.shape[..] {
        [rows, columns] if ty.kind == Kind::Float => Ok((rows, columns)),
        _ => Err(format!("expected a matrix, got {ty}")),
    }
}

/// The type of an elementwise result: all arguments are floats of one shape.
fn same_shape<const N: usize>(args: &[&Type]) -> Result<Type, String> {
    let args: &[&Type; N] = arguments(args)?;
    for (i, ty) in args.iter().enumerate() {
        if ty.kind != Kind::Float || ty.shape != args[0].shape {
            return Err(format!(
                "expected argument {i} to have shape {} of argument 0, got {ty}",
                Type::float(&args[0].shape)
            ));
        }
    }
    Ok(args[0].clone())
}

/// Exactly `N` arguments.
fn arguments<'a, 'b, const N: usize>(args: &'a [&'b Type]) -> Result<&'a [&'b Type; N], String> {
    args.try_into().map_err(|_| format!("expected {N} arguments, got {}", args.len()))
}

/// An elementwise primitive: its name, its opcode, its number of arguments, its VJP.
macro_rules! elementwise {
    ($(#[$doc:meta])* $primitive:ident, $name:literal, $count:literal, |$vjp:ident| $body:block) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $primitive;

        impl Primitive for $primitive {
            fn name(&self) -> &'static str {
                $name
            }

            fn infer(&self, args: &[&Type]) -> Result<Type, String> {
                same_shape::<$count>(args)
            }

            fn evaluation(&self) -> Evaluation {
                Evaluation::Elementwise(Elementwise::$primitive)
            }

            fn vjp(&self, $vjp: &Vjp<'_>) $body
        }
    };
}
use elementwise;

/// The type of x · Wᵀ (transposed: x · W).
fn product(x: &Type, weight: &Type, transposed: bool) -> Result<Type, String> {
    let [rows, columns] = weight.shape[..] else {
        return Err(format!("expected W to be a matrix, got {weight}"));
    };
    let (out, depth) = if transposed { (columns, rows) } else { (rows, columns) };
    if x.kind != Kind::Float || weight.kind != Kind::Float || x.shape.len() != 1 || x.shape[0] != depth {
        return Err(format!("expected x of shape ({depth}) for W of shape {weight}, got {x}"));
    }
    Ok(Type::float(&[out]))
}
