import pytest
from etils import epath

from babeldraw.errors import UserError
from babeldraw.training.keeping import class_names


def test_names_come_back_in_their_order(tmp_path):
    directory = epath.Path(tmp_path)
    assert class_names.read(directory) == ()
    names = ("zèbre", "ant", "two\nlines ", "ant eater")
    class_names.write(directory, names)
    class_names.write(directory, names)  # Of a run that goes on.
    assert class_names.read(directory) == ("zèbre", "ant", "two lines", "ant eater")


def test_other_classes_and_damage_are_refused(tmp_path):
    directory = epath.Path(tmp_path)
    class_names.write(directory, ("ant", "bee"))
    with pytest.raises(UserError, match=r"classes are not those of .*classes\.txt"):
        class_names.write(directory, ("ant", "cow"))
    (tmp_path / class_names.NAME).write_bytes(b"\xff\n")
    with pytest.raises(UserError, match="is damaged"):
        class_names.read(directory)
