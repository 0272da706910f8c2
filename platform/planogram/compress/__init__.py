"""Compression: exports, quantization and the gate that proves that they rank as the trained model does."""
