"""A device that this machine does not have is refused by its name, before anything is loaded."""

from importlib.util import find_spec

import pytest

from holdfast.device import best_device, check_device
from holdfast.encode.clip import ClipEncoder
from holdfast.encode.passes import Passes
from holdfast.encode.sentence_transformers import SentenceTransformersEncoder
from holdfast.errors import ConfigError

if find_spec("torch") is None:
    pytest.skip("torch is not installed", allow_module_level=True)

FAR = "cuda:99"  # no machine has as many


@pytest.mark.parametrize("device", [FAR, "nonsense", "meta", "cpu:x", ""])
def test_what_is_not_there_is_named(device):
    with pytest.raises(ConfigError, match=r"toy: device: expected one that torch has") as caught:
        check_device(device, "toy: device")
    assert repr(device) in caught.value.got


def test_what_is_there_is_taken():
    check_device(None, "toy")
    assert best_device("cpu", "toy") == "cpu"
    check_device(best_device(None, "toy"), "toy")


@pytest.mark.parametrize("make", [SentenceTransformersEncoder, ClipEncoder])
def test_encoders_look_before_they_load(make, tmp_path):
    with pytest.raises(ConfigError, match=r"Encoder.*: device: .*'cuda:99'"):
        make(str(tmp_path), device=FAR).space  # noqa: B018 - nothing lies there to be loaded


def test_a_pass_has_at_least_one_content():
    with pytest.raises(ConfigError, match="batch_size: expected at least 1, got 0"):
        Passes(0)
    with pytest.raises(ConfigError, match="batch_size: expected at least 1, got -1"):
        SentenceTransformersEncoder("any", batch_size=-1)
