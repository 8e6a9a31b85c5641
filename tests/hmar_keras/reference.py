"""A slow NumPy reference of the paper's model, written straight from its equations.

An oracle for tests: float64, Python loops over rows, positions, behaviours and heads, one behaviour
encoder after another, every mask explicit. It shares no code with the package.

Ids start at 1 and 0 is padding, so behaviour `b` is index `b - 1` of every per-behaviour list.
Weights are a nested dict of arrays; `random_weights` shows all of its keys.
"""

import numpy as np

NORM_EPSILON = 1e-3


# --- Items and behaviours encoding (Eq. 1-4) ------------------------------------------------------


def indicators(item_ids, behavior_ids, K):
    """Returns the historical behaviour indicators [length, K] of one row.

    Row t counts how often the item at t had each behaviour at positions up to and including t.
    """
    counts = np.zeros((len(item_ids), K))
    for t in range(len(item_ids)):
        counts[t] = candidate_indicators(item_ids, behavior_ids, t, item_ids[t], K)
    return counts


def candidate_indicators(item_ids, behavior_ids, t, candidate, K):
    """Returns how often `candidate` had each behaviour [K] at positions up to and including t."""
    counts = np.zeros(K)
    if candidate == 0:
        return counts
    for j in range(t + 1):
        if item_ids[j] == candidate and behavior_ids[j] != 0:
            counts[behavior_ids[j] - 1] += 1
    return counts


def encode(item, counts, w, *, scale_embeddings=False):
    """Returns the item encoding q [d] of Eq. 1-3; item 0 (padding) gives zeros."""
    d = w["B_v"].shape[0]
    if item == 0:
        return np.zeros(d)
    embedding = w["W_v"][item - 1]
    if scale_embeddings:
        embedding = embedding * np.sqrt(d)
    v = embedding + w["B_v"]  # Eq. 1
    c = counts @ w["W_c"] + w["B_c"]  # Eq. 2
    return np.concatenate([v, c]) @ w["W_r"] + w["B_r"]  # Eq. 3


# --- Hierarchical masked attention (Eq. 5-13) -----------------------------------------------------


def attention(x, W_Q, W_K, W_V, allowed, num_heads):
    """Returns SA(x) [L, d] of Eq. 6 and 11, where query i may see key j if `allowed[i, j]`.

    A query that may see no key gets zeros.
    """
    length, d = x.shape
    width = d // num_heads
    out = np.zeros((length, d))
    for h in range(num_heads):
        columns = slice(h * width, (h + 1) * width)
        Q, K, V = x @ W_Q[:, columns], x @ W_K[:, columns], x @ W_V[:, columns]
        for i in range(length):
            keys = [j for j in range(length) if allowed[i, j]]
            if not keys:
                continue
            scores = np.array([Q[i] @ K[j] for j in keys]) / np.sqrt(width)
            shares = np.exp(scores - scores.max())
            shares = shares / shares.sum()
            for share, j in zip(shares, keys, strict=True):
                out[i, columns] += share * V[j]
    return out


def feed_forward(x, W_1, B_1, W_2, B_2, residual):
    """Returns FFN(x) [L, d] of Eq. 7 and 13, one position at a time, plus x if `residual`."""
    out = np.zeros_like(x)
    for j in range(len(x)):
        out[j] = np.maximum(x[j] @ W_1 + B_1, 0.0) @ W_2 + B_2
        if residual:
            out[j] += x[j]
    return out


def layer_norm(x, scale, offset):
    """Returns x [L, d] normalised over its features, one position at a time."""
    out = np.zeros_like(x)
    for j in range(len(x)):
        variance = np.mean((x[j] - x[j].mean()) ** 2)
        out[j] = (x[j] - x[j].mean()) / np.sqrt(variance + NORM_EPSILON) * scale + offset
    return out


def behavior_encoder(G, behavior_ids, real, b, block, num_heads, residual):
    """Returns O_b [L, d] of Eq. 5-9: the encoder of behaviour `b` (1 to K) over one row."""
    length, i = len(G), b - 1
    of_b = np.array([real[j] and behavior_ids[j] == b for j in range(length)])
    M = of_b.astype(float)[:, None]
    E = G * M  # Eq. 5; the projection may be absent
    if block["W_e"] is not None:
        E = E @ block["W_e"][i] + block["B_e"][i]
    allowed = np.zeros((length, length), bool)
    for query in range(length):
        for key in range(length):
            allowed[query, key] = key <= query and of_b[key]
    W_Q, W_K, W_V = block["W_Q"][i], block["W_K"][i], block["W_V"][i]
    X = attention(E, W_Q, W_K, W_V, allowed, num_heads)  # Eq. 6
    F = feed_forward(
        X, block["W_1"][i], block["B_1"][i], block["W_2"][i], block["B_2"][i], residual
    )  # Eq. 7
    L = F + block["gamma"][i] * (G * M)  # Eq. 8
    return L * M  # Eq. 9


def sequence_encoder(stage, G, real, block, num_heads, residual):
    """Returns Z [L, d] of Eq. 11-13 over one row, zeros at padding; `stage` is O or the last Z."""
    length = len(G)
    allowed = np.zeros((length, length), bool)
    for query in range(length):
        for key in range(length):
            allowed[query, key] = key <= query and real[key]
    A = attention(stage, block["W_Q"], block["W_K"], block["W_V"], allowed, num_heads)  # Eq. 11
    A = A + G  # Eq. 12
    if block.get("norm_scale") is not None:
        A = layer_norm(A, block["norm_scale"], block["norm_offset"])
    Z = feed_forward(A, block["W_1"], block["B_1"], block["W_2"], block["B_2"], residual)  # Eq. 13
    return Z * np.array(real, float)[:, None]


def row_states(item_ids, behavior_ids, w, num_heads, residual, scale_embeddings):
    """Returns the states z [L, d] of one row, zeros at padding."""
    length, K = len(item_ids), w["W_c"].shape[0]
    max_length, d = w["P"].shape
    real = [item != 0 for item in item_ids]
    counts = indicators(item_ids, behavior_ids, K)
    G = np.zeros((length, d))
    for t in range(length):
        if real[t]:
            age = length - 1 - t  # 0 is the newest event
            q = encode(item_ids[t], counts[t], w, scale_embeddings=scale_embeddings)
            G[t] = q + w["P"][max_length - 1 - age]  # Eq. 4
    stage = G
    for block in w["behavior_blocks"]:
        total = np.zeros((length, d))
        for b in range(1, K + 1):
            total += behavior_encoder(stage, behavior_ids, real, b, block, num_heads, residual)
        stage = total  # Eq. 10
    skip = G
    for block in w["sequence_blocks"]:
        stage = sequence_encoder(stage, skip, real, block, num_heads, residual)
        skip = stage
    return stage


# --- The two heads (Eq. 14 and 16) ----------------------------------------------------------------


def hmar(
    item_ids,
    behavior_ids,
    candidate_ids,
    w,
    *,
    num_heads,
    feed_forward_residual=False,
    scale_embeddings=False,
):
    """Returns `ranking` [B, S, C] and `behavior` [B, S, K] logits and `states` [B, L, d].

    Step s of `candidate_ids` [B, S, C] belongs to position t = L - S + s of the ids [B, L]. The
    behaviour logits belong to candidate 0.
    """
    item_ids, behavior_ids = np.asarray(item_ids), np.asarray(behavior_ids)
    candidate_ids = np.asarray(candidate_ids)
    batch, length = item_ids.shape
    _, steps, num_candidates = candidate_ids.shape
    K, d = w["W_c"].shape
    head = w["classifier"]
    states = np.zeros((batch, length, d))
    ranking = np.zeros((batch, steps, num_candidates))
    behavior = np.zeros((batch, steps, K))
    for row in range(batch):
        items, behaviors = item_ids[row], behavior_ids[row]
        states[row] = row_states(
            items, behaviors, w, num_heads, feed_forward_residual, scale_embeddings
        )
        for s in range(steps):
            t = length - steps + s
            z = states[row, t]
            for c in range(num_candidates):
                candidate = candidate_ids[row, s, c]
                counts = candidate_indicators(items, behaviors, t, candidate, K)
                q = encode(candidate, counts, w, scale_embeddings=scale_embeddings)
                ranking[row, s, c] = z @ q  # Eq. 14, before the sigmoid
                if c == 0:  # Eq. 16, before the softmax
                    hidden = np.concatenate([z, q]) @ head["W_1"] + head["B_1"]
                    behavior[row, s] = hidden @ head["W_2"] + head["B_2"]
    return {"ranking": ranking, "behavior": behavior, "states": states}


# --- Losses (Eq. 15 and 17) and the rank ----------------------------------------------------------


def ranking_loss(logits, next_behaviors, alpha, beta):
    """Returns Eq. 15 averaged over real positions; the negatives of a position are averaged."""
    losses = []
    for row in range(len(next_behaviors)):
        for s, b in enumerate(next_behaviors[row]):
            if b == 0:
                continue
            positive, negatives = logits[row][s][0], logits[row][s][1:]
            loss = alpha[b - 1] * np.logaddexp(0.0, -positive)  # -log sigmoid(x)
            loss += beta * np.mean([np.logaddexp(0.0, x) for x in negatives])  # -log(1 - sigmoid)
            losses.append(loss)
    return float(np.mean(losses)) if losses else 0.0


def behavior_loss(logits, next_behaviors):
    """Returns Eq. 17 averaged over real positions."""
    losses = []
    for row in range(len(next_behaviors)):
        for s, b in enumerate(next_behaviors[row]):
            if b != 0:
                x = np.asarray(logits[row][s], float)
                losses.append(np.log(np.sum(np.exp(x - x.max()))) + x.max() - x[b - 1])
    return float(np.mean(losses)) if losses else 0.0


def positive_rank(scores):
    """Returns the 0-based rank of candidate 0 among `scores` [C]; ties count against it.

    If its score is not finite, candidate 0 ranks last; other non-finite scores rank above it.
    """
    positive, others = scores[0], scores[1:]
    if not np.isfinite(positive):
        return len(others)
    return sum(1 for x in others if not np.isfinite(x) or x >= positive)


# --- Weights --------------------------------------------------------------------------------------


def random_weights(
    rng,
    num_items,
    K,
    d,
    max_length,
    behavior_blocks,
    sequence_blocks,
    projection,
    *,
    norm=False,
):
    """Returns random weights, none of them zero.

    `projection` is the form of Eq. 5: "shared" (one for all behaviours) or "none". With `norm`, the
    sequence blocks have a layer normalisation.
    """
    if projection not in ("shared", "none"):
        raise ValueError(f"unknown projection {projection!r}")

    def draw(*shape):
        return rng.choice([-1.0, 1.0], size=shape) * rng.uniform(0.05, 0.6, size=shape)

    def draw_feed_forward():
        return {"W_1": draw(d, d), "B_1": draw(d), "W_2": draw(d, d), "B_2": draw(d)}

    def draw_behavior_block():
        block = {name: [draw(d, d) for _ in range(K)] for name in ("W_Q", "W_K", "W_V")}
        networks = [draw_feed_forward() for _ in range(K)]
        block |= {name: [n[name] for n in networks] for name in ("W_1", "B_1", "W_2", "B_2")}
        block["gamma"] = [float(draw()) for _ in range(K)]
        if projection == "none":
            return block | {"W_e": None, "B_e": None}
        return block | {"W_e": [draw(d, d)] * K, "B_e": [draw(d)] * K}

    def draw_sequence_block():
        block = {name: draw(d, d) for name in ("W_Q", "W_K", "W_V")} | draw_feed_forward()
        return block | ({"norm_scale": 1.0 + draw(d), "norm_offset": draw(d)} if norm else {})

    w = {"W_v": draw(num_items, d), "B_v": draw(d), "W_c": draw(K, d), "B_c": draw(d)}
    w |= {"W_r": draw(2 * d, d), "B_r": draw(d), "P": draw(max_length, d)}
    w["behavior_blocks"] = [draw_behavior_block() for _ in range(behavior_blocks)]
    w["sequence_blocks"] = [draw_sequence_block() for _ in range(sequence_blocks)]
    w["classifier"] = {"W_1": draw(2 * d, d), "B_1": draw(d), "W_2": draw(d, K), "B_2": draw(K)}
    return w
