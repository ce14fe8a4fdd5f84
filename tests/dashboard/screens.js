// What a screen of ten columns and four rows shows after each text, given to it in pieces of one byte.
async (texts) => {
  const { Screen } = await import("/static/js/screen.js");
  return texts.map((text) => {
    const screen = new Screen(4, 10);
    for (const byte of new TextEncoder().encode(text)) screen.write(Uint8Array.of(byte));
    return screen.text();
  });
}
