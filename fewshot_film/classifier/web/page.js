// A few-shot classifier in the browser: images are prepared as Pillow prepares them, to the bit, and classified by the
// network that lies beside this page, or inside it.

const MAX_SHOWN = 6; // classes with a bar
const MAX_ANSWERS = 60; // images that stay in the list
const THUMBNAIL = 256; // pixels
const MOST_ENGINES = 4; // workers that classify what the webcam shows
const FILES = ["runtime/ort.js", "runtime/ort-wasm-simd-threaded.wasm", "classifier.onnx"];

const byId = (id) => document.getElementById(id);
let settings;

// ---------------------------------------------------------------- files, beside the page or inside it

async function bytesOf(name) {
    const inside = document.querySelector(`script[data-file="${name}"]`);
    if (!inside) {
        const response = await fetch(name);
        if (!response.ok) throw new Error(`${name}: ${response.status}`);
        return new Uint8Array(await response.arrayBuffer());
    }
    const text = atob(inside.textContent);
    const packed = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
    const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(unpacked).arrayBuffer());
}

// ---------------------------------------------------------------- engines, each in a worker of its own

class Engine {
    waiting = [];

    constructor(address) {
        this.worker = new Worker(address);
        this.worker.onmessage = ({ data }) => {
            const { resolve, reject } = this.waiting.shift();
            if (data.error === undefined) resolve(data.answer);
            else reject(new Error(data.error));
        };
        this.worker.onerror = (event) => {
            for (const { reject } of this.waiting.splice(0)) reject(new Error(event.message ?? "the worker ended"));
        };
    }

    ask(message, moved = []) {
        this.worker.postMessage(message, moved);
        return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
    }

    // The classes' probabilities and distances for an image {width, height, channels, data}, which is given away.
    classify(image) {
        return this.ask({ image }, [image.data.buffer]);
    }
}

const engines = []; // those that are ready
let begun = 0;
let address, files;

async function addEngine() {
    begun++;
    const engine = new Engine(address);
    await engine.ask({ files });
    engines.push(engine);
    return engine;
}

async function load() {
    if (location.protocol === "file:" && !document.querySelector("script[data-file]"))
        throw new Error("a browser does not let a folder be opened as a file: serve it (python -m http.server)");
    settings = JSON.parse(new TextDecoder().decode(await bytesOf("classifier.json")));
    const [code, wasm, model] = await Promise.all(FILES.map(bytesOf));
    files = { settings, code, wasm, model };
    address = URL.createObjectURL(new Blob([await bytesOf("engine.js")], { type: "text/javascript" }));
    await addEngine();
}

// By the engine that has the least to do.
function classify(image) {
    const [free] = [...engines].sort((one, other) => one.waiting.length - other.waiting.length);
    return free.classify(image);
}

// ---------------------------------------------------------------- images

const canvas = document.createElement("canvas");

// The pixels of what a canvas can draw, on white, as RGB or grey.
function pixelsOf(source, width, height) {
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.fillStyle = "#ffffff";
    context.fillRect(0, 0, width, height);
    context.drawImage(source, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    const channels = settings.channels;
    const out = new Uint8Array(width * height * channels);
    for (let at = 0, to = 0; at < data.length; at += 4)
        if (channels === 1) out[to++] = (data[at] * 19595 + data[at + 1] * 38470 + data[at + 2] * 7471 + 0x8000) >> 16;
        else for (let channel = 0; channel < 3; channel++) out[to++] = data[at + channel];
    return { width, height, channels, data: out };
}

// ---------------------------------------------------------------- answers

// The same for a file; what it shows comes along, as a small canvas.
export async function classifyFile(file) {
    let bitmap;
    try {
        bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
    } catch {
        throw new Error("is not an image that this browser reads");
    }
    const { width, height } = bitmap;
    const shown = document.createElement("canvas");
    const scale = Math.min(1, THUMBNAIL / Math.max(width, height));
    [shown.width, shown.height] = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
    shown.getContext("2d").drawImage(bitmap, 0, 0, shown.width, shown.height);
    const answer = await classify(pixelsOf(bitmap, width, height));
    bitmap.close();
    return { ...answer, shown };
}

// How far an image is from its nearest class, as a multiple of what is not rejected; null where nothing can be.
function relativeDistance({ nearest }) {
    const limit = settings.limits[Number(byId("reject").value).toFixed(2)];
    return limit === undefined ? null : Math.sqrt(nearest / limit);
}

function element(kind, className, text = "") {
    const made = document.createElement(kind);
    made.className = className;
    made.textContent = text;
    return made;
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

// Write an answer into a card, which keeps it for when the slider moves.
function show(card, answer) {
    card.answer = answer;
    const ranked = answer.probabilities.map((share, place) => [share, settings.classes[place]]);
    ranked.sort((one, other) => other[0] - one[0]);
    const far = relativeDistance(answer);
    card.classList.toggle("far", far > 1);
    const [[share, name]] = ranked;
    const said = element("div", "said");
    const headline = far > 1 ? `none of these (${far.toFixed(1)} ×)` : `${name}, ${percent(share)}`;
    said.append(element("h2", "", headline));
    if (far > 1) said.append(element("p", "soft", `nearest: ${name}`));
    for (const [value, label] of ranked.slice(0, MAX_SHOWN)) {
        const row = element("div", "name");
        row.append(element("span", "", label), element("span", "", percent(value)));
        const [track, bar] = [element("div", "track"), element("div", "")];
        bar.style.width = `${100 * value}%`;
        track.append(bar);
        said.append(row, track);
    }
    if (card.note) said.append(element("p", "soft", card.note));
    card.children[1].replaceWith(said);
}

function newCard(kind, shown) {
    const card = element(kind, "answer");
    card.append(shown, element("div", "said", "…"));
    return card;
}

async function take(files) {
    for (const file of files) {
        const card = newCard("li", element("div", ""));
        byId("answers").prepend(card);
        try {
            const answer = await classifyFile(file);
            answer.shown.setAttribute("role", "img");
            answer.shown.setAttribute("aria-label", file.name);
            card.children[0].replaceWith(answer.shown);
            card.note = file.name;
            show(card, answer);
        } catch (error) {
            card.children[1].textContent = `${file.name} ${error.message}`;
        }
        while (byId("answers").children.length > MAX_ANSWERS) byId("answers").lastChild.remove();
        await new Promise(requestAnimationFrame); // so that each is seen as it comes
    }
}

// ---------------------------------------------------------------- the webcam

let stream = null;

// Large enough for the network and no larger: every pixel has to be looked at.
function webcamSize() {
    const height = Math.max(240, Math.ceil(settings.image_size / settings.crop));
    return { width: { ideal: Math.ceil((height * 4) / 3) }, height: { ideal: height } };
}

async function startWebcam() {
    if (!navigator.mediaDevices) throw new Error("a browser gives the webcam to https and localhost alone");
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", ...webcamSize() } });
    const video = element("video", "");
    Object.assign(video, { srcObject: stream, muted: true, playsInline: true });
    const card = newCard("div", video);
    byId("live").replaceChildren(card);
    byId("live").hidden = false;
    byId("webcam").textContent = "Stop webcam";
    await video.play();
    await follow(video, card);
}

// Show what the webcam's images are. Every engine takes the newest image as soon as it is free.
async function follow(video, card) {
    let [frame, taken, shown] = [1, 0, 0]; // numbers of what the webcam shows, of what is looked at, and of the answer
    const times = [];
    const isOn = () => stream && video.srcObject === stream;
    const next = (video.requestVideoFrameCallback ?? requestAnimationFrame).bind(
        video.requestVideoFrameCallback ? video : window,
    );
    const count = () => isOn() && (frame++, next(count));
    count();

    async function work(engine) {
        while (isOn()) {
            while (isOn() && taken === frame) await new Promise(requestAnimationFrame);
            if (!isOn()) return;
            const number = (taken = frame);
            const answer = await engine.classify(pixelsOf(video, video.videoWidth, video.videoHeight));
            times.push(performance.now());
            while (times.length > 2 && times.at(-1) - times[0] > 2000) times.shift();
            if (!isOn() || number < shown) continue; // a newer image was answered first
            shown = number;
            const rate = times.length > 1 ? (1000 * (times.length - 1)) / (times.at(-1) - times[0]) : 0;
            card.note = `${rate.toFixed(1)} images per second`;
            show(card, answer);
        }
    }

    const works = engines.map(work);
    while (begun < Math.min(MOST_ENGINES, navigator.hardwareConcurrency || 1))
        works.push(addEngine().then(work, () => {})); // where memory is short, fewer do
    await Promise.all(works);
}

function stopWebcam() {
    for (const track of stream.getTracks()) track.stop();
    stream = null;
    byId("live").hidden = true;
    byId("webcam").textContent = "Start webcam";
}

// ---------------------------------------------------------------- the page

function tell(text) {
    byId("status").textContent = text;
    byId("status").hidden = !text;
}

function showShare() {
    const share = Number(byId("reject").value);
    byId("share").textContent = share > 0 ? `may reject ${(100 * share).toFixed(0)} % of the classes' own images` : "off";
    for (const card of document.querySelectorAll(".answer")) if (card.answer) show(card, card.answer);
}

function connect() {
    byId("webcam").disabled = byId("files").disabled = false;
    byId("rejecting").hidden = Object.keys(settings.limits).length === 0;
    byId("reject").addEventListener("input", showShare);
    showShare();
    byId("files").addEventListener("change", async (event) => {
        await take([...event.target.files]);
        event.target.value = "";
    });
    byId("webcam").addEventListener("click", () => {
        tell("");
        if (stream) stopWebcam();
        else startWebcam().catch((error) => tell(`The webcam cannot be used: ${error.message}.`));
    });
    const drop = byId("drop");
    for (const kind of ["dragover", "dragleave", "drop"])
        document.addEventListener(kind, (event) => {
            event.preventDefault();
            drop.classList.toggle("over", kind === "dragover");
            if (kind === "drop") take([...event.dataTransfer.files]);
        });
    document.addEventListener("paste", (event) => take([...event.clipboardData.files]));
}

export const ready = load().then(
    () => (connect(), tell("")),
    (error) => tell(`The network could not be loaded: ${error.message}.`),
);
