// One clock for all that ticks on the page: elapsed times are computed here, never sent.
import { createSubscriber } from "svelte/reactivity";

const subscribe = createSubscriber((update) => {
  const timer = setInterval(update, 1000);
  return () => clearInterval(timer);
});

/** Now, in milliseconds; who reads it within an effect or a template is told each second. */
export function now(): number {
  subscribe();
  return Date.now();
}
