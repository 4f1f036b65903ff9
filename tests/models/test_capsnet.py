from dataclasses import replace

import numpy as np
import pytest

from capslite.gradcheck import check_model
from capslite.models import CONFIGS, CapsNet, CapsNetConfig
from capslite.ops import squash

SHAPES = {
    "conv1.kernel": (9, 9, 1, 256),
    "conv1.bias": (256,),
    "primary.kernel": (9, 9, 256, 256),
    "primary.bias": (256,),
    "digit.weight": (1152, 8, 10, 16),
    "decoder.0.weight": (160, 512),
    "decoder.0.bias": (512,),
    "decoder.1.weight": (512, 1024),
    "decoder.1.bias": (1024,),
    "decoder.2.weight": (1024, 784),
    "decoder.2.bias": (784,),
}


def narrow(**changes):
    """The whole paper architecture at reduced width."""
    sizes = {"conv_channels": 6, "types": 3, "primary_dimension": 4, "digit_dimension": 5, "decoder": (7, 9)}
    return replace(CapsNetConfig.paper(), **sizes | changes)


def batch(size, config, dtype="float64"):
    rng = np.random.default_rng(1)
    images = rng.random((size, *config.image_shape)).astype(dtype)
    targets = np.eye(config.classes, dtype=dtype)[rng.integers(0, config.classes, size)]
    return images, targets


def test_the_paper_network_has_the_papers_parameters():
    """8.2 million, 6.8 without the decoder (talk: "the encoder", "the decoder")."""
    net = CapsNet(CapsNetConfig.paper())
    assert {name: array.shape for name, array in net.parameters.items()} == SHAPES
    assert net.parameter_count == 8_215_568
    assert sum(a.size for name, a in net.parameters.items() if not name.startswith("decoder")) == 6_804_224


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"routing_iterations": 1},
        {"routing_iterations": 2, "leaky": True},
        {"decoder": None},
        {"padding": "same", "image_shape": (8, 9, 2), "types": 1},
        {"image_shape": (21, 20, 3), "classes": 3, "primary_stride": 3},
    ],
    ids=str,
)
def test_whole_network_gradient_is_the_slope(changes):
    """Longer capsules and a heavier reconstruction than usual, else the slopes of the decoder drown in rounding."""
    config = narrow(reconstruction_weight=0.1, transform_deviation=1.0, **changes)
    net = CapsNet(config, dtype="float64")
    error = check_model(net, *batch(2, config), samples=4)
    assert error.relative < 1e-6, error


def test_loss_is_the_mean_over_images_whatever_the_shards():
    """70 images are cut into shards; loss and gradients are the mean of those of each image alone."""
    config = narrow()
    net = CapsNet(config, dtype="float64")
    images, targets = batch(70, config)
    losses, gradients = net.loss_and_gradients(images, targets)
    alone = [net.loss_and_gradients(images[n : n + 1], targets[n : n + 1]) for n in range(70)]
    for name, loss in losses._asdict().items():
        assert loss == pytest.approx(np.mean([getattr(one, name) for one, _ in alone]), rel=1e-12)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, np.mean([g[name] for _, g in alone], axis=0), atol=1e-12)


def test_results_do_not_depend_on_the_threads():
    config = narrow()
    images, targets = batch(40, config, "float32")
    one, three = (CapsNet(config, threads=threads) for threads in (1, 3))
    losses, gradients = one.loss_and_gradients(images, targets)
    again_losses, again = three.loss_and_gradients(images, targets)
    assert losses.total == pytest.approx(again_losses.total, rel=1e-6)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(again[name], gradient, rtol=0, atol=1e-6 * np.abs(gradient).max())


def test_every_device_gives_the_same_network_and_the_same_numbers(device):
    """Same seed, same weights; the passes agree to rounding. On the stand-in this proves that the GPU path
    mixes no arrays of both kinds, hides no copy to the host, and calls nothing that CuPy lacks."""
    config = narrow()
    here, there = CapsNet(config), CapsNet(config, device=device.name)
    for name, array in here.parameters.items():
        np.testing.assert_array_equal(device.to_numpy(there.parameters[name]), array)
    images, targets = batch(3, config, "float32")
    losses, gradients = there.loss_and_gradients(device.asarray(images), device.asarray(targets))
    expected_losses, expected = here.loss_and_gradients(images, targets)
    for loss, expected_loss in zip(losses, expected_losses, strict=True):
        np.testing.assert_allclose(device.to_numpy(loss), expected_loss, rtol=1e-5)
    for name, gradient in gradients.items():
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(device.to_numpy(gradient), expected[name], rtol=0, atol=2e-5 * scale)
    output, expected_output = there.forward(device.asarray(images)), here.forward(images)
    for a, b in zip(output, expected_output, strict=True):
        np.testing.assert_allclose(device.to_numpy(a), b, atol=1e-5)
    drawn = there.reconstruct(output.capsules, device.asarray(targets))
    np.testing.assert_allclose(device.to_numpy(drawn), here.reconstruct(expected_output.capsules, targets), atol=1e-5)


def test_a_primary_capsule_is_eight_neighbouring_channels_of_one_place():
    """A careless reshape cuts capsules across places or types; accuracy hides it, so the structure is tested:
    moving one channel at one place moves just the capsule of its type there."""
    config = narrow(image_shape=(20, 20, 1))
    net = CapsNet(config, dtype="float64")
    features = np.random.default_rng(0).random((1, 12, 12, 6))
    u, _ = net.primary.forward(features)
    y, _ = net.primary.conv.forward(features)
    rows, columns = y.shape[1:3]
    for row, column, kind in [(0, 0, 0), (1, 0, 2), (rows - 1, columns - 1, 1)]:
        i = (row * columns + column) * config.types + kind
        expected, _ = squash(y[0, row, column, kind * 4 : (kind + 1) * 4])
        np.testing.assert_allclose(u[0, i], expected)


def test_training_masks_all_but_the_target_capsule():
    """The reconstruction must not depend on the other capsules: no gradient reaches them through the decoder."""
    config = narrow()
    net = CapsNet(config, dtype="float64")
    v = np.random.default_rng(0).random((2, 10, 5))
    targets = np.eye(10)[[3, 7]]
    decoded, cache = net.decoder.forward(v, targets)
    d_v, _ = net.decoder.backward(np.ones_like(decoded), cache)
    assert (np.abs(d_v).sum(axis=-1) > 0).tolist() == (targets == 1).tolist()


@pytest.mark.parametrize("size", [0, 1])
def test_a_batch_of_none_or_one_is_ordinary(size):
    config = narrow()
    net = CapsNet(config)
    images, targets = batch(size, config, "float32")
    losses, gradients = net.loss_and_gradients(images, targets)
    assert np.isfinite(losses.total)
    assert gradients.keys() == net.parameters.keys()
    assert net.forward(images).capsules.shape == (size, 10, 5)


def test_all_zero_images_give_finite_gradients():
    config = narrow()
    images, targets = batch(3, config, "float32")
    losses, gradients = CapsNet(config).loss_and_gradients(images * 0, targets)
    assert np.isfinite(losses.total)
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())


def test_other_images_can_be_asked_for_as_reconstructions():
    config = narrow()
    net = CapsNet(config, dtype="float64")
    images, targets = batch(2, config)
    same, _ = net.loss_and_gradients(images, targets, images)
    other, _ = net.loss_and_gradients(images, targets, 1 - images)
    default, _ = net.loss_and_gradients(images, targets)
    assert same == default
    assert other.margin == default.margin
    assert other.reconstruction != default.reconstruction


def test_another_seed_is_another_network():
    a, b, c = (CapsNet(narrow(), seed=seed).parameters for seed in (0, 0, 1))
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert not np.array_equal(a["conv1.kernel"], c["conv1.kernel"])


def test_named_configurations_take_other_images():
    for make in CONFIGS.values():
        config = make(image_shape=(36, 36, 3), classes=5)
        assert config.image_shape == (36, 36, 3)
        assert config.classes == 5


def test_wrong_images_are_named():
    net = CapsNet(narrow())
    message = r"images has shape \(2, 28, 28\) and dtype float64; expected \(B, 28, 28, 1\) and float32"
    with pytest.raises(ValueError, match=message):
        net.forward(np.zeros((2, 28, 28)))
    with pytest.raises(ValueError, match=r"targets has shape \(2, 9\); expected \(B=2, J=10\)"):
        net.loss_and_gradients(np.zeros((2, 28, 28, 1), np.float32), np.zeros((2, 9), np.float32))


def test_images_too_small_for_the_kernels_are_named():
    with pytest.raises(ValueError, match=r"image_shape is \(10, 10, 1\); its kernels need at least 17 rows and columns"):
        narrow(image_shape=(10, 10, 1))


def test_a_network_without_a_decoder_says_so():
    net = CapsNet(narrow(decoder=None))
    with pytest.raises(ValueError, match="made without a decoder"):
        net.reconstruct(np.zeros((1, 10, 5), np.float32), np.ones((1, 10), np.float32))
