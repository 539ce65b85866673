"""FuxiCTR's models with their parameters under the names that trajectories.py stores."""

import os
import tempfile

os.environ.setdefault("RAY_DEDUP_LOGS", "0")

import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch.layers import CrossNetV2, FactorizationMachine, FeatureEmbedding, LogisticRegression, MLP_Block
from fuxictr.pytorch.models import BaseModel
from model_zoo.LongCTR.DCNv2 import DCNv2
from model_zoo.LongCTR.DIN import DIN
from multitask_models import LABELS, MODELS as MULTITASK
from plain_models import ATTENTION, CROSS, HIDDEN, K, LEARNING_RATE, NUMERIC, TABLES
from torch import nn


WITH_HISTORY = ("din", "dcnv2_history")


class Zoo(BaseModel):
    """LR, FM, DeepFM and DCNv2 of FuxiCTR's model zoo, from FuxiCTR's layers."""

    def __init__(self, feature_map, model, **kwargs):
        super().__init__(feature_map, **kwargs)
        width = feature_map.sum_emb_out_dim()
        if model == "lr":
            self.lr_layer = LogisticRegression(feature_map, use_bias=True)
        else:
            self.embedding_layer = FeatureEmbedding(feature_map, K)
        if model in ("fm", "deepfm"):
            self.fm = FactorizationMachine(feature_map)
        if model == "deepfm":
            self.mlp = MLP_Block(input_dim=width, output_dim=1, hidden_units=HIDDEN, hidden_activations="ReLU")
        if model == "dcnv2":
            self.crossnet = CrossNetV2(width, CROSS)
            self.parallel_dnn = MLP_Block(
                input_dim=width, output_dim=None, hidden_units=HIDDEN, hidden_activations="ReLU"
            )
            self.fc = nn.Linear(width + HIDDEN[-1], 1)
        self.model = model
        self.compile(kwargs["optimizer"], kwargs["loss"], LEARNING_RATE)

    def forward(self, inputs):
        x = self.get_inputs(inputs)
        if self.model == "lr":
            y = self.lr_layer(x)
        elif self.model == "dcnv2":
            e = self.embedding_layer(x, flatten_emb=True)
            y = self.fc(torch.cat([self.crossnet(e), self.parallel_dnn(e)], dim=-1))
        else:
            e = self.embedding_layer(x)
            y = self.fm(x, e)
            if self.model == "deepfm":
                y = y + self.mlp(e.flatten(start_dim=1))
        return {"y_pred": self.output_activation(y)}


def feature_map(model):
    """FuxiCTR's order of fields. Where there is a history it puts the target, item_id, behind all other fields."""
    table = lambda name, **more: {
        "type": "categorical",
        "source": "",
        "vocab_size": TABLES[name],
        "padding_idx": 0,
        **more,
    }
    out = FeatureMap("reference", "")
    names = list(TABLES)
    if model in MULTITASK:
        out.features.update({name: table(name) for name in names})
        out.labels, out.default_emb_dim, out.num_fields = LABELS, K, len(out.features)
        return out
    out.features.update({name: table(name) for name in (names[:-1] if model in WITH_HISTORY else names)})
    out.features.update({name: {"type": "numeric", "source": ""} for name in NUMERIC})
    if model in WITH_HISTORY:
        out.features["item_id"] = table("item_id", source="item")
    out.labels, out.default_emb_dim, out.num_fields = ["label"], K, len(out.features)
    return out


def base_options(l2):
    return dict(
        embedding_regularizer=float(l2) if l2 else None,
        net_regularizer=None,
        verbose=0,
        metrics=["AUC"],
        model_root=tempfile.gettempdir(),
        optimizer="adam",
        loss="binary_crossentropy",
    )


class Fuxi:
    """A FuxiCTR model with its parameters under the stored names."""

    def __init__(self, model, weights, l2):
        kwargs = base_options(l2)
        fields = feature_map(model)
        self.history = model in WITH_HISTORY
        if model == "dcnv2_history":
            self.net = DCNv2(
                fields,
                parallel_dnn_hidden_units=HIDDEN,
                num_cross_layers=CROSS,
                embedding_dim=K,
                learning_rate=LEARNING_RATE,
                **kwargs,
            )
        elif model == "din":
            self.net = DIN(
                fields,
                dnn_hidden_units=HIDDEN,
                attention_hidden_units=ATTENTION,
                embedding_dim=K,
                learning_rate=LEARNING_RATE,
                **kwargs,
            )
        else:
            self.net = Zoo(fields, model, **kwargs)
        self.optimizer = self.net.optimizer
        self.parameters = dict(self.net.named_parameters())
        for name in self.parameters:
            self.write(name, weights)

    def places(self, name):
        """FuxiCTR's name -> (stored name, the row of it that this is, or None)."""
        for prefix, stored in (("lr_layer.", "linear"), ("fm.lr_layer.", "linear"), ("embedding_layer.", "embedding")):
            if name.startswith(prefix):
                if name.endswith("bias"):
                    return "bias", None
                field = name.split(".")[-2]
                return (f"numeric_{stored}", NUMERIC.index(field)) if field in NUMERIC else (f"{stored}.{field}", None)
        for prefix, stored in (
            ("mlp.mlp", "mlp"),
            ("parallel_dnn.mlp", "mlp"),
            ("dnn.mlp", "mlp"),
            ("fc", "output"),
            ("crossnet.cross_layers", "cross"),
            ("attention_layers.attention_layer.mlp", "attention.mlp"),
        ):
            if name.startswith(prefix + "."):
                rest = name[len(prefix) + 1 :].split(".")
                if stored in ("mlp", "attention.mlp"):  # nn.Sequential counts the activations in between
                    rest[0] = str(int(rest[0]) // 2)
                if rest[-1] == "alpha":
                    return f"attention.dice.{rest[0]}.alpha", None
                return ".".join([stored] + rest), None
        raise KeyError(name)

    def order(self, stored):
        """Where FuxiCTR's rows and columns of a weight lie in the stored one: blocks of K, its fields being in another
        order. None: as they are."""
        if not self.history or not stored.startswith(("mlp.0.weight", "cross.", "output.weight")):
            return None, None
        canonical = list(TABLES) + NUMERIC + ["pooled"]
        theirs = list(TABLES)[:-1] + NUMERIC + ["item_id", "pooled"]
        blocks = torch.cat([torch.arange(K) + K * canonical.index(name) for name in theirs])
        if stored == "output.weight":
            return None, torch.cat([blocks, torch.arange(HIDDEN[-1]) + len(blocks)])  # [cross; mlp]
        if stored.startswith("cross."):
            return blocks, blocks if stored.endswith("weight") else None
        return None, blocks

    def write(self, name, weights):
        stored, part = self.places(name)
        value = weights[stored] if part is None else weights[stored][part]
        rows, columns = self.order(stored)
        value = value if rows is None else value[rows]
        value = value if columns is None else value[:, columns]
        with torch.no_grad():
            self.parameters[name].copy_(value.reshape(self.parameters[name].shape))

    def gather(self, weights, read):
        """Stored name -> tensor shaped as in `weights`, from read(parameter)."""
        out = {name: torch.full_like(value, float("nan")) for name, value in weights.items()}
        for name, parameter in self.parameters.items():
            stored, part = self.places(name)
            value, (rows, columns) = read(parameter).detach(), self.order(stored)
            value = value if rows is None else torch.empty_like(value).index_copy_(0, rows, value)
            value = value if columns is None else torch.empty_like(value).index_copy_(1, columns, value)
            target = out[stored] if part is None else out[stored][part]
            target.copy_(value.reshape(target.shape))
        assert not any(value.isnan().any() for value in out.values())
        return out

    def batch(self, rows):
        x = {name: rows.ids[:, f] for f, name in enumerate(TABLES)}
        x.update({name: rows.dense[:, f] for f, name in enumerate(NUMERIC)})
        x["label"] = rows.labels
        if not self.history:
            return x
        target = x.pop("item_id")
        return x, {"item_id": torch.cat([rows.padded, target[:, None]], 1).flatten()}, rows.mask

    def losses(self, rows):
        batch = self.batch(rows)
        bce = self.net.add_loss(self.net.forward(batch), self.net.get_labels(batch))
        return bce, bce + self.net.regularization_loss()

    def logit(self, rows):
        return torch.logit(self.net.forward(self.batch(rows))["y_pred"][:, 0].double())
