"""Models that their authors publish on ModelScope or as checkpoints.

No wheel has them. `streamd models pull ID` brings one from its hub, `streamd models pull ID --from
PATH` from a directory or a file. The converter of each stands in `convert/__init__.py`.
"""

from __future__ import annotations

from streamd.models.model import Model, Published, PublishedFile

_VOXCELEB = "VoxCeleb1 and VoxCeleb2: speech of 7,205 celebrities from YouTube, mostly English."


def _sensevoice(suffix: str, title: str, graph: str) -> Model:
    return Model(
        id=f"sensevoice-small{suffix}",
        title=f"SenseVoiceSmall: text, language, emotion and sounds in 5 languages{title}",
        module="transcript",
        licence="LicenseRef-FunASR-Model-License-1.1",
        source="https://github.com/FunAudioLLM/SenseVoice",
        training_data="Over 400,000 hours of speech with text, collected by Alibaba's FunAudioLLM "
        "(arXiv:2407.04051; the recordings are not published): mostly Chinese and English, and "
        "Cantonese, Japanese and Korean; much of its emotion and event labels by other models.",
        published=Published(
            repository="iic/SenseVoiceSmall",
            revision="master",
            files=(
                PublishedFile(
                    name="model.pt",
                    hub_sha256="833ca2dcfdf8ec91bd4f31cfac36d6124e0c459074d5e909aec9cabe6204a3ea",
                ),
                PublishedFile(
                    name="config.yaml",
                    hub_sha256="f71e239ba36705564b5bf2d2ffd07eece07b8e3f2bbf6d2c99d8df856339ac19",
                ),
                PublishedFile(
                    name="am.mvn",
                    hub_sha256="29b3c740a2c0cfc6b308126d31d7f265fa2be74f3bb095cd2f143ea970896ae5",
                ),
                PublishedFile(
                    name="chn_jpn_yue_eng_ko_spectok.bpe.model",
                    hub_sha256="aa87f86064c3730d799ddf7af3c04659151102cba548bce325cf06ba4da4e6a8",
                ),
            ),
            address="https://modelscope.cn/models/iic/SenseVoiceSmall",
        ),
        files=tuple(f"{graph}.{ending}" for ending in ("onnx", "weights", "json")),
        converter=1,
    )


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
    _sensevoice("", "", "sensevoice"),
    _sensevoice("-int8", ", its products in int8", "sensevoice_int8"),
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
