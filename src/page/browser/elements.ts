/** The page's element with this id. Throws when page and script don't belong together. */
export function element<T extends Element>(id: string, type: abstract new () => T): T {
  return of(document.getElementById(id), `#${id}`, type);
}

/** The first element within `root` that the selector finds. Throws when there is none. */
export function within<T extends Element>(
  root: ParentNode,
  selector: string,
  type: abstract new () => T,
): T {
  return of(root.querySelector(selector), selector, type);
}

/**
 * Shows or hides an element. Where that takes the focus away, `next` gets it: otherwise the keyboard
 * starts over at the top of the page.
 */
export function setHidden(shown: HTMLElement, hidden: boolean, next: HTMLElement): void {
  const hadFocus = shown.contains(document.activeElement);
  shown.hidden = hidden;
  if (hidden && hadFocus) next.focus();
}

function of<T extends Element>(found: Element | null, what: string, type: abstract new () => T): T {
  if (found instanceof type) return found;
  throw new Error(`The page has no ${type.name} ${what}`);
}
