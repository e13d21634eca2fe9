"use strict";
(() => {
  const all = (query, at = document) => [...at.querySelectorAll(query)];
  const list = document.getElementById("entries");
  const search = document.getElementById("search");
  const sort = document.getElementById("sort");
  const shown = document.getElementById("shown");
  const rows = all("details.entry", list).map((node, at) => ({ node, at, text: null }));
  const total = shown.textContent;

  // A word such as v:certyn looks into one field, any other word into the whole entry; ! turns it round.
  const FIELDS = { v: "v", p: "p", l: "l", s: "s" };
  const terms = (text) =>
    [...text.matchAll(/(!?)(?:([a-z]):)?(?:"([^"]*)"|(\S+))/g)].map((found) => {
      const field = FIELDS[found[2]];
      const word = (found[3] ?? found[4]).toLowerCase();
      return { not: !!found[1], field, word: found[2] && !field ? `${found[2]}:${word}` : word };
    });
  const has = (row, term) => {
    if (term.field) return ` ${row.node.dataset[term.field].toLowerCase()} `.includes(` ${term.word} `);
    row.text ??= row.node.textContent.toLowerCase();
    return row.text.includes(term.word);
  };
  // Words for one field are alternatives; everything else has to hold.
  const fits = (row, wanted) => {
    const either = {};
    for (const term of wanted) {
      if (!term.field || term.not) { if (has(row, term) === term.not) return false; }
      else either[term.field] = either[term.field] || has(row, term);
    }
    return Object.values(either).every(Boolean);
  };
  const filter = () => {
    const wanted = terms(search.value);
    let number = 0;
    for (const row of rows) {
      row.node.hidden = !fits(row, wanted);
      number += !row.node.hidden;
    }
    shown.textContent = wanted.length ? `${number} of ${rows.length} entries` : total;
    const words = search.value.toLowerCase().split(/\s+/);
    for (const button of all("button[data-q]")) button.setAttribute("aria-pressed", words.includes(button.dataset.q.toLowerCase()));
  };
  const remember = () => {
    const hash = search.value ? `#?q=${encodeURIComponent(search.value)}` : location.pathname + location.search;
    try { history.replaceState(null, "", hash); } catch { /* a page in a sandbox has no history */ }
  };
  const look = (text) => { search.value = text; filter(); remember(); };

  for (const part of all("[data-q]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.q = part.dataset.q;
    button.className = part.className;
    button.append(...part.childNodes);
    button.addEventListener("click", () => {
      const words = search.value.split(/\s+/).filter(Boolean);
      const others = words.filter((word) => word.toLowerCase() !== part.dataset.q.toLowerCase());
      look((others.length < words.length ? others : [...words, part.dataset.q]).join(" "));
    });
    part.replaceWith(button);
  }

  const ORDERS = {
    listed: (a, b) => a.at - b.at,
    manifest: (a, b) => a.node.dataset.n - b.node.dataset.n,
    slowest: (a, b) => b.node.dataset.d - a.node.dataset.d || a.at - b.at,
    name: (a, b) => (a.node.dataset.id < b.node.dataset.id ? -1 : 1),
  };
  sort.addEventListener("change", () => list.append(...[...rows].sort(ORDERS[sort.value]).map((row) => row.node)));
  search.addEventListener("input", () => { filter(); remember(); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) { event.preventDefault(); search.focus(); }
    if (event.key === "Escape" && event.target === search) look("");
  });

  // A link to an entry opens it, also where the filter has hidden it.
  const reveal = () => {
    if (location.hash.startsWith("#?q=")) { search.value = decodeURIComponent(location.hash.slice(4)); filter(); return; }
    const name = location.hash.slice(1);
    let target = name && document.getElementById(name);
    try { target ||= name && document.getElementById(decodeURIComponent(name)); } catch { /* no link of ours */ }
    if (!target) return;
    for (let node = target; node; node = node.parentElement) {
      if (node.tagName === "DETAILS") node.open = true;
      if (node.hidden) { search.value = ""; filter(); }
    }
    const entry = target.closest("details.entry");
    if (entry) { entry.scrollIntoView(); entry.querySelector("summary").focus({ preventScroll: true }); }
  };
  addEventListener("hashchange", reveal);

  // A screenshot is asked for when somebody wants to see it, and not before.
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-shot]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const next = link.nextElementSibling;
    if (next?.matches(".shot, .gone")) { next.remove(); link.setAttribute("aria-expanded", "false"); return; }
    const image = new Image();
    image.className = "shot";
    image.referrerPolicy = "no-referrer";
    image.alt = link.dataset.shot;
    image.onerror = () => {
      const gone = document.createElement("span");
      gone.className = "gone";
      gone.setAttribute("role", "status");
      gone.append(" cannot be shown: it may have expired. ");
      const vendor = link.dataset.vendor;
      if (vendor) {
        const way = document.createElement("a");
        way.href = vendor;
        way.textContent = "Look at the vendor";
        gone.append(way);
      }
      image.replaceWith(gone);
    };
    image.src = link.href;
    link.after(image);
    link.setAttribute("aria-expanded", "true");
  });

  for (const part of all("[data-script]")) part.hidden = false;
  filter();
  reveal();
})();
