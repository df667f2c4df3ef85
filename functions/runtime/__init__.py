"""The parts that functions share: the inference data plane, its protocols, settings, errors, and the Knative client."""
