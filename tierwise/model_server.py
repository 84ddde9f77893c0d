"""One language model behind llama.cpp's own OpenAI-compatible HTTP server: `python -m tierwise.model_server`."""

import argparse
import os
import signal
import sys

SLOTS = 2
SLOT_TOKENS = 4096  # SmolLM2's memory of one conversation; it was trained on 8,192


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--gguf", required=True)
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--alias", required=True)
    options.add_argument("--host", default="127.0.0.1")
    chosen = options.parse_args()

    # Threads that wait by spinning take the cores from each other: two of them on two busy cores generate 2 tokens/s
    # in place of 57. OpenMP reads this as it is loaded, so before the import.
    os.environ["OMP_WAIT_POLICY"] = "passive"
    try:
        import xllamacpp
    except ImportError as error:  # of the whole stack only this wheel needs a library of the system's
        sys.exit(f"llama.cpp cannot be loaded: {error}. Where libgomp is missing: apt-get install libgomp1")

    params = xllamacpp.CommonParams()
    params.model.path = chosen.gguf
    params.model_alias = {chosen.alias}
    params.hostnames = [chosen.host]
    params.port = chosen.port
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * SLOT_TOKENS
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.n_gpu_layers = 0
    params.no_extra_bufts = True  # repacked weights: 600 MB more with the larger model, and no faster
    params.cache_ram_mib = 128  # of earlier prompts; the default may grow to 8 GB
    params.use_jinja = True  # the model's own chat template, tools included
    params.endpoint_metrics = True
    params.ui = False
    server = xllamacpp.Server(params)
    print(f"{chosen.alias} at {server.listening_address}", flush=True)
    signal.pause()  # SIGTERM's default ends the process; the server's threads hold nothing that must be saved


if __name__ == "__main__":
    main()
