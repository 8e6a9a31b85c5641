"""The building blocks of the models, each usable in any Keras model."""

from hmar_keras.layers.behavior_classifier import BehaviorClassifier
from hmar_keras.layers.behavior_dense import BehaviorDense
from hmar_keras.layers.behavior_encoder import BehaviorEncoder
from hmar_keras.layers.dropout import Dropout
from hmar_keras.layers.feed_forward import FeedForward
from hmar_keras.layers.hashed_item_table import HashedItemTable
from hmar_keras.layers.historical_behavior_indicators import HistoricalBehaviorIndicators
from hmar_keras.layers.item_behavior_embedding import ItemBehaviorEmbedding
from hmar_keras.layers.item_embedding import ItemEmbedding
from hmar_keras.layers.item_table import ItemTable
from hmar_keras.layers.log_counts import LogCounts
from hmar_keras.layers.log_memory import LogMemory
from hmar_keras.layers.pair_table import PairTable
from hmar_keras.layers.position_embedding import PositionEmbedding
from hmar_keras.layers.remembered import Remembered
from hmar_keras.layers.rezero import ReZero
from hmar_keras.layers.self_attention import SelfAttention
from hmar_keras.layers.sequence_encoder import SequenceEncoder

__all__ = [
    "BehaviorClassifier",
    "BehaviorDense",
    "BehaviorEncoder",
    "Dropout",
    "FeedForward",
    "HashedItemTable",
    "HistoricalBehaviorIndicators",
    "ItemBehaviorEmbedding",
    "ItemEmbedding",
    "ItemTable",
    "LogCounts",
    "LogMemory",
    "PairTable",
    "PositionEmbedding",
    "ReZero",
    "Remembered",
    "SelfAttention",
    "SequenceEncoder",
]
