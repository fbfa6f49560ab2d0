// What a view asks for again whenever the run has gone on, at most so often.
import { problem } from "../lib/api.ts";

export class Fresh<T> {
  value = $state.raw<T | null>(null);
  trouble = $state("");
  loading = $state(false);
  #timer = 0;
  #last = -Infinity;
  #stop: AbortController | null = null;
  readonly #load: (signal: AbortSignal) => Promise<T>;
  readonly #every: number;

  /** To be made while a component is. `stamp` reads what it hangs on. */
  constructor(load: (signal: AbortSignal) => Promise<T>, stamp: () => unknown, every = 1000) {
    this.#load = load;
    this.#every = every;
    $effect(() => {
      stamp();
      const wait = Math.max(0, this.#last + this.#every - performance.now());
      clearTimeout(this.#timer);
      this.#timer = window.setTimeout(() => void this.again(), wait);
    });
    $effect(() => () => {
      clearTimeout(this.#timer);
      this.#stop?.abort();
    });
  }

  async again(): Promise<void> {
    this.#stop?.abort();
    const stop = (this.#stop = new AbortController());
    this.#last = performance.now();
    this.loading = true;
    try {
      const value = await this.#load(stop.signal);
      if (stop.signal.aborted) return;
      this.value = value;
      this.trouble = "";
    } catch (error) {
      if (!stop.signal.aborted) this.trouble = problem(error);
    } finally {
      if (this.#stop === stop) this.loading = false;
    }
  }
}
