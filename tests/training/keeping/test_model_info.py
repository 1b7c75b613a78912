from babeldraw.parallel.mesh import make_mesh
from babeldraw.parallel.rules import TRAINING_RULES
from babeldraw.training.keeping.model_info import count_parameters, model_info
from babeldraw.training.state import describe_state
from tests.training.toy import Toy


def test_every_variable_has_its_line():
    mesh = make_mesh({"data": 2, "model": 4})
    variables = describe_state(Toy(), mesh, TRAINING_RULES)
    text = model_info(variables, mesh)
    lines = {line.split()[0]: line.split() for line in text.splitlines() if "[" in line}
    assert len(lines) == len(variables)
    kernel = "float32[8,16](embed,mlp)(None,model)128"  # 8 * 16 numbers of 4 bytes on 4 parts.
    for name in ("params/painter/mlp/kernel", "optimizer_state/painter/0/nu/mlp/kernel"):
        assert "".join(lines[name][1:]) == kernel
    assert "".join(lines["params/critic/line"][1:]) == "float32[8]()(None)32"
    assert "mesh: data 2, stage 1, model 4 (8 devices)" in text
    assert "params/painter: 256 numbers, 256 bytes a device" in text
    assert "total parameters: 264\n" in text
    assert count_parameters(variables) == 2 * 8 * 16 + 8


def test_order_is_that_of_the_state():
    import jax

    from babeldraw.training.state import init_state

    mesh = make_mesh({"data": -1})
    shapes = jax.tree.leaves(jax.eval_shape(lambda: init_state(Toy(), 0)))
    variables = describe_state(Toy(), mesh, TRAINING_RULES)
    assert [leaf.shape for leaf in shapes] == [variable.shape for variable in variables]
