"""Models that their authors publish on ModelScope or as checkpoints.

No wheel has them. `streamd models pull ID` brings one from its hub, `streamd models pull ID --from
PATH` from a directory or a file. The converter of each stands in `convert/__init__.py`.
"""

from __future__ import annotations

from streamd.models.model import Model, Published, PublishedFile

_VOXCELEB = "VoxCeleb1 and VoxCeleb2: speech of 7,205 celebrities from YouTube, mostly English."

PUBLISHED: tuple[Model, ...] = (
    Model(
        id="ecapa-tdnn-mindspore",
        title="ECAPA-TDNN speaker encoder of MindAudio, 192-d",
        module="speaker",
        licence="Apache-2.0",
        source="https://github.com/mindspore-lab/mindaudio",
        training_data=_VOXCELEB,
        published=Published(
            repository="",
            revision="",
            # Not pinned: whoever trained one of his own gives that.
            files=(PublishedFile(name="ecapatdnn_vox12.ckpt"),),
            address="https://github.com/mindspore-lab/mindaudio/tree/main/examples/ECAPA-TDNN",
        ),
        files=("ecapa_tdnn.onnx",),
        converter=1,
    ),
)
