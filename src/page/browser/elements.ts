/** The page's element with this id. Throws when page and script don't belong together. */
export function element<T extends Element>(id: string, type: abstract new () => T): T {
  return within(document, `#${id}`, type);
}

/** The first element within `root` that the selector finds. Throws if there is none. */
export function within<T extends Element>(
  root: ParentNode,
  selector: string,
  type: abstract new () => T,
): T {
  const found = root.querySelector(selector);
  if (found instanceof type) return found;
  throw new Error(`The page has no ${type.name} ${selector}`);
}

/**
 * Shows or hides an element. If that takes the focus away, `next` gets it: otherwise the keyboard would
 * start over at the top of the page.
 */
export function setHidden(shown: HTMLElement, hidden: boolean, next: HTMLElement): void {
  const hadFocus = shown.contains(document.activeElement);
  shown.hidden = hidden;
  if (hidden && hadFocus) next.focus();
}
