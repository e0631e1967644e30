"""What the process of a service does before it serves."""

import gc

from holdfast.encode.callable import CallableEncoder
from holdfast.errors import EncoderUnavailable
from holdfast.service import serve as module
from holdfast.service.settings import Settings
from holdfast.upgrade.project import Project


def test_collections_leave_alone_what_is_there_when_it_begins(planned, monkeypatch):
    frozen = []
    monkeypatch.setattr(module, "share_cores", lambda: None)  # of this process
    monkeypatch.setattr(module, "run", lambda *_: frozen.append(gc.get_freeze_count()) or True)
    try:
        assert module.serve(Project(planned.config), Settings(port=0))
    finally:
        gc.unfreeze()
    assert frozen[0] > 10_000


def test_models_have_made_ready_what_asks_nobody_before_it_serves(planned, monkeypatch):
    opened = []

    def ready(encoder):
        opened.append(encoder.space.name)
        raise EncoderUnavailable("toy", "a connection", "none")  # searches will say so

    monkeypatch.setattr(CallableEncoder, "open", ready, raising=False)
    service = module.compose(Project(planned.config), Settings(port=0))
    service.office.open()
    service.office.close()
    assert opened == ["tests.cli.toys:old", "tests.cli.toys:new"]
