"use strict";

const TEXTS = {
  en: {
    subtitle: "Images of text lines in, text out.", docs: "API documentation",
    drop: "Drop, paste or choose images of single text lines",
    hint: "PNG, JPEG, TIFF, WebP and others; nothing is stored.",
    key: "API key", copyAll: "Copy all text", json: "Download JSON", csv: "Download CSV", clear: "Clear",
    copy: "Copy", copied: "Copied", reading: n => `Reading ${n} image${n === 1 ? "" : "s"} …`,
    done: (n, ms) => `${n} image${n === 1 ? "" : "s"} read in ${ms} ms`, lost: n => `, ${n} not read`, empty: "no text found",
    ok: "sure", unsure: "unsure", suspect: "please check", emptyStatus: "empty", failed: "not read", doubts: "Doubtful:", faults: {}, reasons: {},
    needKey: "This server wants an API key.", wrongKey: "This is not the server's API key.",
    unreachable: "The server cannot be reached; the images are kept.", again: "Try again", folders: n => `${n} folder${n === 1 ? "" : "s"} passed over: drop the images in them.`,
    noPreview: "No preview.",
    picture: "Picture of the line", where: "Where did it look?", hover: "Point at a character.",
    otherLook: "The network as it first looked at the line; the text above it was read at a second look:",
  },
  ko: {
    subtitle: "한 줄 이미지를 넣으면 글자를 읽어 줍니다.", docs: "API 문서",
    drop: "한 줄 이미지를 끌어다 놓거나 붙여 넣거나 선택하세요",
    hint: "PNG, JPEG, TIFF, WebP 등. 이미지는 저장되지 않습니다.",
    key: "API 키", copyAll: "모두 복사", json: "JSON 내려받기", csv: "CSV 내려받기", clear: "지우기",
    copy: "복사", copied: "복사됨", reading: n => `이미지 ${n}개를 읽는 중 …`,
    done: (n, ms) => `이미지 ${n}개를 ${ms} ms에 읽었습니다`, lost: n => `, ${n}개는 읽지 못했습니다`, empty: "글자가 없습니다",
    ok: "확실함", unsure: "불확실함", suspect: "확인 필요", emptyStatus: "비어 있음", failed: "읽지 못함", doubts: "의심되는 글자:",
    faults: {
      damaged: "손상되었거나 잘린 이미지입니다.", unsupported: "지원하지 않는 형식입니다.", empty_file: "빈 파일입니다.",
      too_large: "이미지가 너무 큽니다.", not_a_line: "한 줄의 이미지가 아닙니다.", busy: "서버가 바쁩니다. 잠시 후 다시 시도하세요.",
      body_too_large: "보낸 파일이 너무 큽니다.", no_images: "이미지가 없습니다.", too_long: "줄이 너무 길어서 보여 줄 수 없습니다.", too_many_images: "이미지가 너무 많습니다.", timeout: "시간이 초과되었습니다.", body_too_slow: "파일을 보내는 데 시간이 너무 오래 걸렸습니다.", internal: "서버에 오류가 있습니다.",
    },
    reasons: {
      "less text than the CTC head sees": "그림에 보이는 것보다 글자가 적습니다.", "more text than the CTC head sees": "그림에 보이는 것보다 글자가 많습니다.",
      "the decoder repeats itself": "같은 글자가 되풀이됩니다.", "decoder and CTC head disagree": "두 가지 읽기가 서로 다릅니다.",
    },
    needKey: "이 서버는 API 키가 필요합니다.", wrongKey: "API 키가 맞지 않습니다.",
    unreachable: "서버에 연결할 수 없습니다. 이미지는 남아 있습니다.", again: "다시 시도", folders: n => `폴더 ${n}개는 건너뛰었습니다. 폴더 안의 이미지를 놓으세요.`,
    noPreview: "미리 보기 없음",
    picture: "줄 이미지", where: "어디를 보았나?", hover: "글자를 가리켜 보세요.",
    otherLook: "줄을 처음 보았을 때의 모습입니다. 위 결과는 다시 보고 읽은 글자입니다:",
  },
};
const language = /^ko(-|$)/i.test(navigator.language) ? "ko" : "en";
const say = TEXTS[language];
const DOUBTFUL = 0.8;
const MOST_DOUBTS = 8;
const LONG = 10, LEAST_HEIGHT = 28;  // pictures that much longer than high are not shown lower than that: they scroll
const PORTION_FILES = 64;
const PORTION_BYTES = 8 * 2 ** 20;
const byId = id => document.getElementById(id);
let waiting = [];  // files without an answer yet
let running = new AbortController();

document.documentElement.lang = language;
for (const node of document.querySelectorAll("[data-text]")) node.textContent = say[node.dataset.text];

function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function state(message, failed = false) {
  byId("state").textContent = message;
  byId("state").classList.toggle("error", failed);
}

/** What the server answers to some files, or `{ status: 0 }` if there is no answer. */
async function asked(path, files, signal) {
  if (!/^[ -~]*$/.test(byId("key").value)) return { status: 401 };  // no header could carry it
  const body = new FormData();
  for (const file of files) body.append("images", file, file.name || "image.png");
  if (path === "read") body.append("characters", "true");
  const headers = { Accept: "application/json", ...(byId("key").value && { "X-API-Key": byId("key").value }) };
  try {
    const response = await fetch(path, { method: "POST", body, headers, signal });
    return { status: response.status, ...await response.json() };
  } catch {
    return { status: 0 };
  }
}

function complaint(answer) {
  if (answer.status === 401) {
    byId("key-row").hidden = false;
    byId("key").focus();
    return byId("key").value ? say.wrongKey : say.needKey;
  }
  if (!answer.status) return say.unreachable;
  return answer.error ? fault(answer.error) : String(answer.status);
}

/** The next files for one request, taken out of the list. */
function portion(files, most) {
  let count = 0, bytes = 0;
  do bytes += files[count++].size;
  while (count < Math.min(most, files.length) && bytes + files[count].size <= PORTION_BYTES);
  return files.splice(0, count);
}

/** Send files in portions and show what comes back; what gets no answer waits to be sent again. */
async function read(files, note = "") {
  if (!files.length) return note && state(note, true);
  const left = [...files], signal = running.signal, started = performance.now();
  const fresh = [];
  let most = PORTION_FILES, last = null;
  state(say.reading(left.length));
  byId("again").hidden = !waiting.length;
  while (left.length) {
    const sent = portion(left, most);
    const answer = await asked("read", sent, signal);
    if (signal.aborted) return;
    if ([0, 401, 408, 429, 504].includes(answer.status)) {
      waiting.push(...sent, ...left);
      byId("again").hidden = false;
      return state(complaint(answer), true);
    }
    if (answer.status === 413 && sent.length > 1 && !answer.images) {
      most = Math.ceil(sent.length / 2);
      left.unshift(...sent);
      continue;
    }
    const refused = file => ({ file: file.name, text: null, confidence: null, status: "failed", error: answer.error ?? { message: String(answer.status) } });
    const results = answer.images ?? sent.map(refused);
    const entries = results.map((result, index) => shown(result, sent[index]));
    if (last) last.after(...entries);
    else byId("results").prepend(...entries);
    last = entries.at(-1);
    fresh.push(...results);
    byId("tools").hidden = false;
  }
  const lost = fresh.filter(result => result.error).length;
  state(say.done(fresh.length - lost, Math.round(performance.now() - started)) + (lost ? say.lost(lost) : "") + (note && `. ${note}`));
}

function fault(error) {
  return say.faults[error.code] ?? error.message ?? String(error);
}

function isDoubtful(character) {
  return character.confidence < DOUBTFUL && character.text !== " ";
}

/** What is in the list, from top to bottom: uploads may end in another order than they began. */
function results() {
  return [...byId("results").children].map(entry => entry.result);
}

/** The list entry of one image. */
function shown(result, file) {
  const picture = element("img", { src: URL.createObjectURL(file), alt: `${say.picture}: ${result.file}` });
  picture.dataset.url = picture.src;  // src may change
  picture.addEventListener("error", () => {
    picture.hidden = true;
    picture.after(element("span", { className: "none", textContent: say.noPreview }));
  }, { once: true });
  const text = element("p", { className: "text" });
  if (result.error) text.append(fault(result.error));
  else if (!result.text) text.append(say.empty);
  else for (const c of result.characters)
    text.append(isDoubtful(c) ? element("mark", { textContent: c.text, title: percent(c.confidence) }) : c.text);
  const doubts = (result.characters ?? []).filter(isDoubtful).map(c => `${c.text} ${percent(c.confidence)}`);
  if (!result.text) text.classList.add("none");
  const sure = result.status === "ok" && result.confidence >= DOUBTFUL;
  const label = { ok: sure ? say.ok : say.unsure, empty: say.emptyStatus }[result.status] ?? say[result.status];
  const facts = element("div", { className: "facts" },
    element("span", { textContent: label, className: sure ? "" : "doubt" }),
    element("span", { textContent: result.confidence === null ? "" : percent(result.confidence) }),
    element("span", { textContent: result.file, className: "name" }));
  const frame = element("div", { className: "frame" }, element("div", {}, picture));
  picture.addEventListener("load", () => {
    const aspect = picture.naturalWidth / picture.naturalHeight;
    if (aspect > LONG) {
      picture.parentElement.style.minWidth = `${LEAST_HEIGHT * aspect}px`;
      picture.style.width = "100%";
    }
  });
  if (result.text) facts.append(lookButton(result, file, frame, text), copyButton(say.copy, () => result.text));
  const entry = element("li", { result }, frame, text, facts);
  if (result.reason) entry.append(element("p", { className: "doubts", textContent: say.reasons[result.reason] ?? result.reason }));
  if (doubts.length) entry.append(element("p", { className: "doubts", textContent: `${say.doubts} ${doubts.slice(0, MOST_DOUBTS).join(", ")}${doubts.length > MOST_DOUBTS ? ", …" : ""}` }));
  return entry;
}

function lookButton(result, file, frame, text) {
  const button = element("button", { type: "button", textContent: say.where });
  const trouble = element("span", { className: "doubt" });
  trouble.setAttribute("role", "alert");
  button.addEventListener("click", async () => {
    button.disabled = true;
    const answer = await asked("attention", [file]);
    if (answer.status === 200) {
      lookAt(answer, result, frame, text);
      button.textContent = say.hover;
      trouble.remove();
      text.firstElementChild?.focus();
      return;
    }
    trouble.textContent = complaint(answer);
    button.after(trouble);
    button.disabled = false;
    if (answer.status !== 401) button.focus();
  });
  return button;
}

/** Make each character show the place that the decoder looked at when it wrote it, in the picture as the network saw it. */
function lookAt(data, result, frame, text) {
  const picture = frame.querySelector("img");
  picture.src = data.image;
  picture.hidden = false;
  frame.firstElementChild.replaceChildren(picture);
  frame.classList.add("seen");
  const [rows, columns] = data.grid;
  const [layers, heads, count] = data.picture.shape;
  const levels = Uint8Array.from(atob(data.picture.levels), c => c.charCodeAt(0)), peaks = data.picture.peaks;
  const canvas = element("canvas", { width: columns, height: rows });
  picture.after(canvas);
  const show = index => {
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(columns, rows);
    const sums = new Float32Array(rows * columns);
    for (let part = 0; part < layers * heads; part++) {
      const row = part * count + index;
      for (let cell = 0; cell < sums.length; cell++) sums[cell] += peaks[row] * levels[row * sums.length + cell];
    }
    const most = Math.max(...sums, 1e-9);
    sums.forEach((sum, cell) => pixels.data.set([214, 40, 40, 190 * sum / most], 4 * cell));
    context.putImageData(pixels, 0, 0);
  };
  const letters = data.characters.map((character, index) => {
    const read = result.characters[index];
    const marked = read?.text === character && isDoubtful(read);
    const node = element(marked ? "mark" : "span", { textContent: character, tabIndex: index ? -1 : 0, className: "letter" });
    if (marked) node.title = percent(read.confidence);
    node.addEventListener("mouseenter", () => show(index));
    node.addEventListener("focus", () => {
      for (const letter of letters) letter.tabIndex = letter === node ? 0 : -1;  // one stop for Tab, arrows within
      show(index);
      bringIntoView(frame, (index + 0.5) / letters.length);
    });
    node.addEventListener("keydown", event => {
      const to = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: letters.length - 1 }[event.key];
      if (letters[to]) { letters[to].focus(); event.preventDefault(); }
    });
    return node;
  });
  text.replaceChildren(...letters);
  text.setAttribute("role", "group");
  if (data.characters.join("") !== result.text)
    text.before(element("p", { className: "doubts", textContent: `${say.otherLook} ${result.text}` }));
}

/** Bring about that part of a wide picture into view. */
function bringIntoView(frame, share) {
  frame.scrollLeft = share * frame.scrollWidth - frame.clientWidth / 2;
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

function copyButton(label, text) {
  const button = element("button", { type: "button", textContent: label });
  button.addEventListener("click", () => copy(button, label, text()));
  return button;
}

async function copy(button, label, text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {  // no clipboard permission, or plain http: the old way
    const area = element("textarea", { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  button.textContent = say.copied;
  setTimeout(() => { button.textContent = label; }, 1200);
}

function download(name, type, content) {
  const link = element("a", { download: name, href: URL.createObjectURL(new Blob([content], { type })) });
  link.click();
  URL.revokeObjectURL(link.href);
}

function csv() {
  const columns = ["file", "text", "confidence", "status", "reason", "error"];
  const plain = value => /^[=@\t\r]|^[+-](?![\d.,\s]*$)/.test(value) ? `'${value}` : value;  // a spreadsheet would compute it
  const quote = value => `"${plain(String(value ?? "")).replaceAll('"', '""')}"`;
  const rows = results().map(r => [r.file, r.text, r.confidence, r.status, r.reason, r.error?.message]);
  return "\ufeff" + [columns, ...rows].map(row => row.map(quote).join(",") + "\r\n").join("");  // the mark tells Excel that it is UTF-8
}

byId("files").addEventListener("change", event => {
  read([...event.target.files]);
  event.target.value = "";
});
function readWaiting() {
  const files = waiting;
  waiting = [];  // Enter both submits the form and changes the field
  read(files);
}
byId("form").addEventListener("submit", event => {
  event.preventDefault();
  readWaiting();
});
byId("key").addEventListener("change", readWaiting);
byId("again").addEventListener("click", readWaiting);
byId("clear").addEventListener("click", () => {
  running.abort();
  running = new AbortController();
  waiting = [];
  byId("again").hidden = true;
  for (const picture of byId("results").querySelectorAll("img")) URL.revokeObjectURL(picture.dataset.url);
  byId("results").replaceChildren();
  byId("tools").hidden = true;
  state("");
  byId("files").focus();
});
byId("copy").addEventListener("click", event => copy(event.target, say.copyAll, results().map(r => r.text).join("\n")));
byId("json").addEventListener("click", () => download("ocrformer.json", "application/json", JSON.stringify(results(), null, 1)));
byId("csv").addEventListener("click", () => download("ocrformer.csv", "text/csv", csv()));

function readDropped(items) {
  const files = items.filter(item => !item.webkitGetAsEntry()?.isDirectory).map(item => item.getAsFile());
  const folders = items.length - files.length;
  read(files, folders ? say.folders(folders) : "");
}

document.addEventListener("paste", event => {
  const files = [...event.clipboardData.files].filter(file => file.type.startsWith("image/"));
  if (files.length) event.preventDefault();
  read(files);
});
for (const kind of ["dragover", "dragleave", "drop"])
  document.addEventListener(kind, event => {
    event.preventDefault();
    byId("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") readDropped([...event.dataTransfer.items].filter(item => item.kind === "file"));
  });
