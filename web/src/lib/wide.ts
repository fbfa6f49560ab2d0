// What is wider than its place scrolls sideways; then it can be reached by keys, too.

function look(root: HTMLElement): void {
  for (const box of root.querySelectorAll<HTMLElement>(".wide")) {
    const scrolls = box.scrollWidth > box.clientWidth;
    if (scrolls === box.hasAttribute("tabindex")) continue;
    if (scrolls) {
      box.tabIndex = 0;
      box.setAttribute("role", "group");
      box.setAttribute("aria-label", "wider than the screen: scroll sideways");
    } else {
      for (const name of ["tabindex", "role", "aria-label"]) box.removeAttribute(name);
    }
  }
}

/** Looks after all wide things below an element, as long as it is there. */
export function wide(root: HTMLElement): () => void {
  let asked = false;
  const ask = () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      look(root);
    });
  };
  const changes = new MutationObserver(ask);
  changes.observe(root, { childList: true, subtree: true });
  const sizes = new ResizeObserver(ask);
  sizes.observe(root);
  return () => {
    changes.disconnect();
    sizes.disconnect();
  };
}
