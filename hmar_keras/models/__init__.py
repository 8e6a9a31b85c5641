"""Models built of the layers."""

from hmar_keras.models.hmar import HMAR, HMARBackbone, compile_arguments

__all__ = ["HMAR", "HMARBackbone", "compile_arguments"]
