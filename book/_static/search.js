// The index holds Chinese words, but a reader types them without blanks: cut a query where the index knows words.
window.splitQuery = (query) => {
  const known = (word) => [Search._index?.terms, Search._index?.titleterms].some((words) => words && Object.hasOwn(words, word));
  const cut = (text) => {
    const words = [];
    for (let start = 0; start < text.length; ) {
      let length = Math.min(8, text.length - start);
      while (length > 1 && !known(text.slice(start, start + length))) length -= 1;
      if (length > 1) words.push(text.slice(start, start + length));
      start += length;
    }
    return words.length ? words : [text];
  };
  const parts = query.match(/\p{Script=Han}+|[\p{Letter}\p{Number}_]+/gu) ?? [];
  return parts.flatMap((part) => (/\p{Script=Han}/u.test(part) ? cut(part) : [part]));
};
