"""Two devices on the processor for every test; what one test compiled, the next need not."""

import tempfile

import jax

from hocket.population.devices import prepare

prepare(2, "cpu")
jax.config.update("jax_compilation_cache_dir", tempfile.mkdtemp(prefix="hocket-compiled-"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
