"""The equations in their plainest form: one loop each, in float64, for the tests to compare with."""

import numpy as np


def conv2d(x, kernel, bias, stride, padding):
    batch, height, width, _ = x.shape
    rows, columns, _, filters = kernel.shape
    if padding == "same":
        out = -(-height // stride), -(-width // stride)
        extra = [max((o - 1) * stride + k - n, 0) for o, k, n in zip(out, (rows, columns), (height, width), strict=True)]
        x = np.pad(x, [(0, 0), *((e // 2, e - e // 2) for e in extra), (0, 0)])
    else:
        out = (height - rows) // stride + 1, (width - columns) // stride + 1
    y = np.zeros((batch, *out, filters))
    for b, i, j, f in np.ndindex(y.shape):
        patch = x[b, stride * i : stride * i + rows, stride * j : stride * j + columns]
        y[b, i, j, f] = (patch * kernel[..., f]).sum() + bias[f]
    return y


def squash(s):
    s = s.astype(np.longdouble)
    v = np.zeros_like(s)
    for index in np.ndindex(s.shape[:-1]):
        norm = np.sqrt((s[index] ** 2).sum())
        if norm > 0:
            v[index] = norm**2 / (1 + norm**2) * s[index] / norm
    return v


def squash_gradient(s, d_v):
    """d_s = J' d_v with the Jacobian written out: J = f(n) 1 + f'(n) s s' / n, f(n) = n / (1 + n^2)."""
    s, d_v = s.astype(np.longdouble), d_v.astype(np.longdouble)
    d_s = np.zeros_like(s)
    for index in np.ndindex(s.shape[:-1]):
        n = np.sqrt((s[index] ** 2).sum())
        if n > 0:
            slope = (1 - n**2) / (1 + n**2) ** 2
            unit = s[index] / n
            along = (unit * d_v[index]).sum()
            d_s[index] = n / (1 + n**2) * (d_v[index] - along * unit) + (n / (1 + n**2) + slope * n) * along * unit
    return d_s


def prediction_vectors(u, weight):
    batch, lower, _ = u.shape
    _, _, upper, depth = weight.shape
    u_hat = np.zeros((batch, upper, lower, depth))
    for b, j, i in np.ndindex(batch, upper, lower):
        u_hat[b, j, i] = u[b, i] @ weight[i, :, j]
    return u_hat


def routing_softmax(b, leaky):
    c = np.zeros_like(b)
    for batch, i in np.ndindex(b.shape[0], b.shape[2]):
        logits = b[batch, :, i]
        largest = max([*logits, 0.0] if leaky else logits, default=0.0)
        total = sum(np.exp(logit - largest) for logit in logits) + (np.exp(-largest) if leaky else 0)
        c[batch, :, i] = np.exp(logits - largest) / total
    return c


def route(u_hat, iterations, leaky):
    batch, upper, lower, depth = u_hat.shape
    b = np.zeros((batch, upper, lower))
    for _ in range(iterations):
        c = routing_softmax(b, leaky)
        v = np.zeros((batch, upper, depth))
        for n, j in np.ndindex(batch, upper):
            s = sum((c[n, j, i] * u_hat[n, j, i] for i in range(lower)), start=np.zeros(depth))
            v[n, j] = squash(s)
            for i in range(lower):
                b[n, j, i] += u_hat[n, j, i] @ v[n, j]
    return v


def margin_loss(v, targets, m_plus=0.9, m_minus=0.1, down_weight=0.5):
    total = 0.0
    for n, j in np.ndindex(targets.shape):
        norm = np.sqrt((v[n, j].astype(np.longdouble) ** 2).sum())
        present = max(0, m_plus - norm) ** 2
        absent = max(0, norm - m_minus) ** 2
        total += targets[n, j] * present + down_weight * (1 - targets[n, j]) * absent
    return total / max(len(v), 1)


def reconstruction_loss(decoded, images):
    return sum(((a - b) ** 2).sum() for a, b in zip(decoded, images, strict=True)) / max(len(images), 1)


def cross_entropy(logits, targets):
    total = 0.0
    for scores, wanted in zip(logits, targets, strict=True):
        largest = scores.max()
        log_total = largest + np.log(sum(np.exp(score - largest) for score in scores))
        total -= sum(t * (score - log_total) for t, score in zip(wanted, scores, strict=True))
    return total / max(len(logits), 1)


def adam(w, gradients, rate, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """The weights after each gradient in turn, by the second form of Kingma and Ba's Algorithm 1."""
    m = v = np.zeros_like(w)
    for t, g in enumerate(gradients, start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        w = w - rate * np.sqrt(1 - beta2**t) / (1 - beta1**t) * m / (np.sqrt(v) + epsilon)
    return w
