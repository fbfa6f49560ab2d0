// Characters that cannot be seen, or that turn around what stands beside them, as they are written
// in source code: `\u202e`. Whoever approves a text must see all of it.

/** What is shown as an escape: all but the joints of an emoji, tabs and ends of lines. */
const ODD =
  /\r(?!\n)|[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|[\xad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0\ufe00-\ufe0d\u{e0100}-\u{e01ef}]|(?<![\p{Extended_Pictographic}\p{Emoji_Modifier}\ufe0f])\u200d|(?<!\p{Emoji})[\ufe0e\ufe0f]|(?!\u200d)[\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu;

export interface Piece {
  text: string;
  odd: boolean;
}

const escape = (one: string): string => {
  const code = one.codePointAt(0)!;
  return code > 0xffff ? `\\U${code.toString(16).padStart(8, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
};

/** A text in pieces: what is written as it is, and what is written as an escape. */
export function pieces(text: string): Piece[] {
  const found: Piece[] = [];
  let at = 0;
  for (const match of text.matchAll(ODD)) {
    if (match.index > at) found.push({ text: text.slice(at, match.index), odd: false });
    found.push({ text: escape(match[0]), odd: true });
    at = match.index + match[0].length;
  }
  if (at < text.length) found.push({ text: text.slice(at), odd: false });
  return found;
}

/** The same as one text, for places that hold nothing but text. */
export const plainText = (text: string): string => text.replace(ODD, escape);
