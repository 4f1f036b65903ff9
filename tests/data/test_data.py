import pytest

from capslite.data import DATASETS, load_dataset
from capslite.errors import UserError


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(UserError, match="the data set is 'minst'; choose one of posed-digits, mnist"):
        load_dataset("minst")


def test_the_made_data_set_refuses_a_directory(tmp_path):
    """Taking it in silence would let somebody believe that their own files were used."""
    with pytest.raises(UserError, match="leave out --data-dir"):
        load_dataset("posed-digits", tmp_path)


def test_the_made_data_set_needs_no_files(monkeypatch, tmp_path):
    """CAPSLITE_DATA is set once for all data sets, so it is no mistake here."""
    monkeypatch.setenv("CAPSLITE_DATA", str(tmp_path))
    train, test = load_dataset("posed-digits")
    assert (len(train), len(test)) == (10_000, 2_000)


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "posed-digits"])
def test_a_directory_without_the_files_is_a_mistake(name, tmp_path):
    with pytest.raises(UserError, match=str(tmp_path)):
        load_dataset(name, tmp_path)


def test_training_and_test_set_are_of_one_kind():
    train, test = load_dataset("posed-digits")
    assert train.image_shape == test.image_shape
    assert train.class_names == test.class_names
    assert train.pose_names == test.pose_names
