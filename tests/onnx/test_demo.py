"""The demonstration's last part, where the export is refused: trained for seconds, its model is another each time."""

import rnnrs_onnx
from rnnrs import _demo_onnx


def test_a_refused_export_is_told(tmp_path):
    class Refused:
        def to_onnx(self, *_, **__):
            raise rnnrs_onnx.ExportError("expected results within 1e-05")

    said = []
    _demo_onnx.run(Refused(), None, tmp_path, say=said.append)
    assert said == ["No ONNX: expected results within 1e-05"]
