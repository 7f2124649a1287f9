"""A model that is published in the form in which it runs is copied as it is."""

from streamd.engine.backends.fake import FakeBackend
from streamd.models import catalogue
from streamd.models.convert import convert


def test_each_file_of_the_transcriber_is_the_member_of_its_wheel(tmp_path):
    model = catalogue.model(catalogue.TRANSCRIPT_ID)
    sources = [tmp_path / member.rsplit("/")[-1] for member in model.members]
    for number, source in enumerate(sources):
        source.write_bytes(bytes([number]) * 1000)
    made = convert(model, sources, tmp_path, FakeBackend({}).load)
    assert [path.name for path in made] == list(catalogue.TRANSCRIPT_FILES)
    assert [path.suffix for path in made] == [source.suffix for source in sources]
    assert [path.read_bytes() for path in made] == [source.read_bytes() for source in sources]
