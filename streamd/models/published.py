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
    Model(
        id="xiaoyun-kws",
        title="XiaoYun, FSMN-CTC keywords in Chinese characters, 756 thousand parameters",
        module="wake",
        licence="Apache-2.0",
        source="https://modelscope.cn/models/iic/speech_charctc_kws_phone-xiaoyun",
        training_data="Chinese speech from mobile phones that its authors collected and do not "
        "publish, and for its last training about 10,000 recordings of “小云小云”.",
        published=Published(
            repository="iic/speech_charctc_kws_phone-xiaoyun",
            revision="master",
            # Not pinned: no copy of them was within reach.
            files=(
                PublishedFile(name="funasr/inference_fsmn_4e_l10r2_250_128_fdim80_t2599.yaml"),
                PublishedFile(
                    name="funasr/finetune_fsmn_4e_l10r2_250_128_fdim80_t2599_xiaoyun_xiaoyun.pt"
                ),
                PublishedFile(name="funasr/am.mvn.dim80_l2r2"),
                PublishedFile(name="funasr/tokens_2599.txt"),
                PublishedFile(name="funasr/lexicon.txt", optional=True),
            ),
            address="https://modelscope.cn/models/iic/speech_charctc_kws_phone-xiaoyun",
        ),
        files=("xiaoyun.onnx", "xiaoyun.json"),
        converter=1,
    ),
)
