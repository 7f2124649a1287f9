"""Models that their authors publish on ModelScope or as checkpoints.

No wheel has them. `streamd models pull ID` brings one from its hub, `streamd models pull ID --from
PATH` from a directory or a file. The converter of each stands in `convert/__init__.py`.
"""

from __future__ import annotations

from streamd.models.model import Model, Published, PublishedFile

_VOXCELEB = "VoxCeleb1 and VoxCeleb2: speech of 7,205 celebrities from YouTube, mostly English."
_CHINESE = (
    "Chinese speech of about 200,000 speakers, as its authors say. The recordings are not "
    "published."
)


def _ecapa(suffix: str, title: str, files: tuple[str, ...], rounds: str | None = None) -> Model:
    return Model(
        id=f"ecapa-tdnn-mindspore{suffix}",
        title=f"ECAPA-TDNN speaker encoder of MindAudio, 192-d{title}",
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
        files=files,
        rounds=rounds,
        converter=1,
    )


def _of_3d_speaker(
    model_id: str, title: str, repository: str, revision: str, checkpoint: str, file: str
) -> Model:
    return Model(
        id=model_id,
        title=f"{title} speaker encoder, 192-d, Chinese",
        module="speaker",
        licence="Apache-2.0",
        source=f"https://modelscope.cn/models/{repository}",
        training_data=_CHINESE,
        published=Published(
            repository=repository,
            revision=revision,
            files=(PublishedFile(name=checkpoint),),
            address=f"https://modelscope.cn/models/{repository}/files",
        ),
        files=(file,),
        converter=1,
    )


PUBLISHED: tuple[Model, ...] = (
    _ecapa("", "", ("ecapa_tdnn.onnx", "ecapa_tdnn.ckpt")),
    _ecapa("-int8", ", its products in int8", ("ecapa_tdnn_int8.onnx",), "ecapa-tdnn-mindspore"),
    _of_3d_speaker(
        "eres2netv2-zh-cn",
        "ERes2NetV2",
        "iic/speech_eres2netv2_sv_zh-cn_16k-common",
        "v1.0.1",
        "pretrained_eres2netv2.ckpt",
        "eres2netv2.onnx",
    ),
    _of_3d_speaker(
        "campplus-zh-cn-common",
        "CAM++",
        "iic/speech_campplus_sv_zh-cn_16k-common",
        "v1.0.0",
        "campplus_cn_common.bin",
        "campplus_zh_cn.onnx",
    ),
)
