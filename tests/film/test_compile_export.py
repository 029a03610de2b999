"""torch.compile and torch.export of a FiLM-ed ResNet-18, with the values of the task as inputs."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torchvision
from torch._dynamo.testing import CompileCounter

from fewshot_film.film import FiLMedNetwork, Modulation, inject_film
from tests.film.networks import (
    RESNET_SITES,
    TINY_SITES,
    images,
    random_modulations,
    randomise_norms,
    tiny,
)

X = images(2, size=32, dtype=torch.float32)
CLOSE = {"rtol": 1e-5, "atol": 1e-4}


@pytest.fixture(scope="module")
def filmed() -> FiLMedNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = torchvision.models.resnet18(num_classes=10).eval()
    return inject_film(randomise_norms(network), [RESNET_SITES])


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@torch.no_grad()
def test_one_graph_serves_every_task(filmed: FiLMedNetwork) -> None:
    counter = CompileCounter()
    compiled = torch.compile(filmed, backend=counter, fullgraph=True)
    for seed in range(3):
        values = random_modulations(filmed.sites, seed=seed)
        torch.testing.assert_close(compiled(X, values), filmed(X, values), **CLOSE)
    assert counter.frame_count == 1
    torch.testing.assert_close(compiled(X), filmed(X), **CLOSE)


@torch.no_grad()
def test_a_compiled_network_inside_modulated() -> None:
    filmed, x = inject_film(tiny(), [TINY_SITES]), images(2)
    counter = CompileCounter()
    compiled = torch.compile(filmed.network, backend=counter, fullgraph=True)
    torch.testing.assert_close(compiled(x), filmed(x))
    for seed in range(3):
        values = random_modulations(filmed.sites, seed=seed, dtype=torch.float64)
        with filmed.modulated(values):
            torch.testing.assert_close(compiled(x), filmed(x, values))
    torch.testing.assert_close(compiled(x), filmed(x))
    assert counter.frame_count == 2, "one graph with FiLM, one without"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # Dynamo's
def test_compiled_gradients(filmed: FiLMedNetwork) -> None:
    compiled = torch.compile(filmed, backend="aot_eager", fullgraph=True)
    gradients = []
    for network in (filmed, compiled):
        flat = filmed.sites.flatten(random_modulations(filmed.sites)).requires_grad_()
        loss = network(X, filmed.sites.split(flat)).log_softmax(1)[:, 0].sum()
        gradients += torch.autograd.grad(loss, flat)
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@torch.no_grad()
def test_inductor(filmed: FiLMedNetwork) -> None:
    compiled = torch.compile(filmed, fullgraph=True)
    for seed in range(2):
        values = random_modulations(filmed.sites, seed=seed)
        torch.testing.assert_close(compiled(X, values), filmed(X, values), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("strict", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:While compiling, we found certain side effects:UserWarning")  # undone by then
@torch.no_grad()
def test_an_exported_program_adapts_to_any_task_and_batch(filmed: FiLMedNetwork, strict: bool) -> None:
    example = (X, random_modulations(filmed.sites))
    one_row = {site.name: Modulation(None, None) for site in filmed.sites}
    shapes = ({0: torch.export.Dim("batch")}, one_row)
    program = torch.export.export(filmed, example, dynamic_shapes=shapes, strict=strict)
    stream = io.BytesIO()
    torch.export.save(program, stream)
    stream.seek(0)
    loaded = torch.export.load(stream).module()
    plain = filmed(X)
    for batch in (5, 3):
        x, values = images(batch, 32, dtype=torch.float32), random_modulations(filmed.sites, seed=batch)
        torch.testing.assert_close(loaded(x, values), filmed(x, values), **CLOSE)
    assert torch.equal(filmed(X), plain)


@pytest.mark.slow
@torch.no_grad()
def test_an_onnx_file_takes_values_as_inputs(filmed: FiLMedNetwork, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own; a dictionary that comes last would be keywords to it
        example = (X, random_modulations(filmed.sites), {})
        torch.onnx.export(filmed, example, tmp_path / "filmed.onnx", dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "filmed.onnx")
    values = random_modulations(filmed.sites, seed=3)
    tensors = [X, *(part for name in filmed.sites.names for part in values[name])]
    feeds = {node.name: tensor.numpy() for node, tensor in zip(session.get_inputs(), tensors, strict=True)}
    found = torch.from_numpy(session.run(None, feeds)[0])
    torch.testing.assert_close(found, filmed(X, values), rtol=1e-4, atol=1e-3)


@pytest.mark.slow
@torch.no_grad()
def test_compiled_ahead_of_time(tmp_path: Path) -> None:
    filmed, x = inject_film(tiny(dtype=torch.float32), [TINY_SITES]), images(2, dtype=torch.float32)
    program = torch.export.export(filmed, (x, random_modulations(filmed.sites)))
    package = torch._inductor.aoti_compile_and_package(program, package_path=str(tmp_path / "filmed.pt2"))
    loaded = torch._inductor.aoti_load_package(package)
    for seed in range(2):
        values = random_modulations(filmed.sites, seed=seed)
        torch.testing.assert_close(loaded(x, values), filmed(x, values), **CLOSE)
