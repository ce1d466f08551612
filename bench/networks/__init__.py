"""Real networks as traces: ResNet-20, ResNet-8 and MobileNetV2, from weights beside the project."""
