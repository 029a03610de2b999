// A few-shot classifier in the browser: images are prepared as Pillow prepares them, to the bit, and classified by the
// network that lies beside this page, or inside it.

const MAX_SHOWN = 6; // classes with a bar
const MAX_ANSWERS = 60; // images that stay in the list
const THUMBNAIL = 256; // pixels

const byId = (id) => document.getElementById(id);
let settings, session, runtime;

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

async function load() {
    if (location.protocol === "file:" && !document.querySelector("script[data-file]"))
        throw new Error("a browser does not let a folder be opened as a file: serve it (python -m http.server)");
    settings = JSON.parse(new TextDecoder().decode(await bytesOf("classifier.json")));
    if (document.querySelector("script[data-file]")) {
        const code = new Blob([await bytesOf("runtime/ort.js")], { type: "text/javascript" });
        runtime = await import(URL.createObjectURL(code));
        runtime.env.wasm.wasmBinary = await bytesOf("runtime/ort-wasm-simd-threaded.wasm");
    } else {
        runtime = await import(new URL("runtime/ort.js", document.baseURI).href);
    }
    runtime.env.wasm.numThreads = 1; // several need headers that a plain server does not send
    session = await runtime.InferenceSession.create(await bytesOf("classifier.onnx"), { executionProviders: ["wasm"] });
}

// ---------------------------------------------------------------- pixels, as Pillow makes them

const sinc = (x) => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));
const FILTERS = {
    box: [0.5, (x) => (x > -0.5 && x <= 0.5 ? 1 : 0)],
    bilinear: [1, (x) => Math.max(1 - Math.abs(x), 0)],
    hamming: [1, (x) => (Math.abs(x) >= 1 ? 0 : sinc(x) * (0.54 + 0.46 * Math.cos(x * Math.PI)))],
    bicubic: [2, (x) => cubic(Math.abs(x))],
    lanczos: [3, (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0)],
};

function cubic(x) {
    const a = -0.5;
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

const PRECISION = 22; // bits of a fixed-point weight
const HALF = 1 << (PRECISION - 1);

// Where each output pixel begins to read, and its weights as integers.
function weightsOf(size, from, to, wanted, filter) {
    const [reach, kernel] = FILTERS[filter];
    const scale = (to - from) / wanted;
    const stretch = Math.max(scale, 1);
    return Array.from({ length: wanted }, (_, place) => {
        const centre = from + (place + 0.5) * scale;
        const first = Math.max(Math.trunc(centre - reach * stretch + 0.5), 0);
        const last = Math.min(Math.trunc(centre + reach * stretch + 0.5), size);
        const weights = [];
        for (let at = first; at < last; at++) weights.push(kernel((at - centre + 0.5) / stretch));
        const sum = weights.reduce((one, other) => one + other, 0);
        const scaled = weights.map((weight) => (weight / (sum || 1)) * 2 ** PRECISION);
        return { first, weights: Int32Array.from(scaled, (weight) => Math.trunc(weight + Math.sign(weight) * 0.5)) };
    });
}

const clipped = (sum) => Math.min(Math.max(sum >> PRECISION, 0), 255);

// Resample along one axis: `step` bytes from one pixel to the next along it, `stride` from one line to the next.
function along(data, out, plans, lines, stride, step, outStride, outStep, channels) {
    for (let line = 0; line < lines; line++) {
        for (let place = 0; place < plans.length; place++) {
            const { first, weights } = plans[place];
            let at = line * stride + first * step;
            let [one, two, three] = [HALF, HALF, HALF];
            for (let tap = 0; tap < weights.length; tap++, at += step) {
                const weight = weights[tap];
                one += data[at] * weight;
                if (channels === 1) continue;
                two += data[at + 1] * weight;
                three += data[at + 2] * weight;
            }
            const to = line * outStride + place * outStep;
            out[to] = clipped(one);
            if (channels === 1) continue;
            out[to + 1] = clipped(two);
            out[to + 2] = clipped(three);
        }
    }
}

// An image is {width, height, channels, data}; the box is [left, top, right, bottom] in pixels.
function resize(image, width, height, filter, box = [0, 0, image.width, image.height]) {
    if (width < 1 || height < 1) throw new Error("is too narrow to be resized");
    const [left, top, right, bottom] = box;
    if (filter === "nearest") return nearest(image, width, height, box);
    const { channels } = image;
    let now = image;
    if (width !== now.width || left !== 0 || right !== width) {
        const out = { width, height: now.height, channels, data: new Uint8Array(width * now.height * channels) };
        const plans = weightsOf(now.width, left, right, width, filter);
        along(now.data, out.data, plans, now.height, now.width * channels, channels, width * channels, channels, channels);
        now = out;
    }
    if (height !== now.height || top !== 0 || bottom !== height) {
        const out = { width, height, channels, data: new Uint8Array(width * height * channels) };
        const plans = weightsOf(now.height, top, bottom, height, filter);
        along(now.data, out.data, plans, width, channels, width * channels, channels, width * channels, channels);
        now = out;
    }
    return now;
}

function nearest(image, width, height, [left, top, right, bottom]) {
    const { channels } = image;
    const out = { width, height, channels, data: new Uint8Array(width * height * channels) };
    for (let row = 0; row < height; row++)
        for (let column = 0; column < width; column++) {
            const x = Math.floor(left + ((column + 0.5) * (right - left)) / width);
            const y = Math.floor(top + ((row + 0.5) * (bottom - top)) / height);
            for (let channel = 0; channel < channels; channel++)
                out.data[(row * width + column) * channels + channel] =
                    image.data[(y * image.width + x) * channels + channel];
        }
    return out;
}

// Python rounds a half to the even number.
function rounded(value) {
    const low = Math.floor(value);
    return value - low === 0.5 ? low + (low % 2 ? 1 : 0) : Math.round(value);
}

// A part of an image, or the image within a larger white one.
function cut(image, left, top, width, height) {
    const { channels } = image;
    const out = { width, height, channels, data: new Uint8Array(width * height * channels).fill(255) };
    for (let row = 0; row < height; row++)
        for (let column = 0; column < width; column++) {
            const [x, y] = [left + column, top + row];
            if (x < 0 || y < 0 || x >= image.width || y >= image.height) continue;
            for (let channel = 0; channel < channels; channel++)
                out.data[(row * width + column) * channels + channel] =
                    image.data[(y * image.width + x) * channels + channel];
        }
    return out;
}

// The square that the network reads.
function square(image) {
    const { image_size: size, resize: how, interpolation: filter, crop } = settings;
    if (image.width === size && image.height === size) return image;
    const { width, height } = image;
    const whole = Math.floor(size / crop + 1e-6);
    const [longest, shortest] = [Math.max(width, height), Math.min(width, height)];
    let scaled;
    if (how === "stretch") scaled = resize(image, whole, whole, filter);
    else if (how === "pad") {
        const fitting = [width, height].map((side) => rounded((side / longest) * whole));
        scaled = resize(image, ...fitting, filter);
        const [left, top] = fitting.map((side) => rounded((whole - side) * 0.5));
        scaled = cut(scaled, -left, -top, whole, whole);
    } else if (whole === size) {
        const [left, top] = [(width - shortest) / 2, (height - shortest) / 2];
        return resize(image, size, size, filter, [left, top, left + shortest, top + shortest]);
    } else {
        const sides = [width, height].map((side) => Math.trunc((whole * side) / shortest));
        scaled = resize(image, ...sides, filter);
    }
    const [left, top] = [scaled.width, scaled.height].map((side) => rounded((side - size) / 2));
    return cut(scaled, left, top, size, size);
}

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

// The classes' probabilities and distances for an image {width, height, channels, data}.
export async function classify(image) {
    const { width, height, channels, data } = square(image);
    const input = new Float32Array(data.length);
    for (let pixel = 0; pixel < width * height; pixel++)
        for (let channel = 0; channel < channels; channel++)
            input[channel * width * height + pixel] = data[pixel * channels + channel] / 255;
    const images = new runtime.Tensor("float32", input, [1, channels, height, width]);
    const { probabilities, distances } = await session.run({ images });
    return { probabilities: Array.from(probabilities.data), nearest: Math.min(...distances.data) };
}

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

// ---------------------------------------------------------------- the camera

let stream = null;

async function startCamera() {
    if (!navigator.mediaDevices) throw new Error("a browser gives the camera to https and localhost alone");
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 640 } } });
    const video = element("video", "");
    Object.assign(video, { srcObject: stream, muted: true, playsInline: true });
    const card = newCard("div", video);
    byId("live").replaceChildren(card);
    byId("live").hidden = false;
    byId("camera").textContent = "Stop the camera";
    await video.play();
    const times = [];
    while (stream && video.srcObject === stream) {
        const answer = await classify(pixelsOf(video, video.videoWidth, video.videoHeight));
        times.push(performance.now());
        while (times.length > 2 && times.at(-1) - times[0] > 2000) times.shift();
        const rate = times.length > 1 ? (1000 * (times.length - 1)) / (times.at(-1) - times[0]) : 0;
        card.note = `${rate.toFixed(1)} images per second`;
        if (stream) show(card, answer);
        await new Promise(requestAnimationFrame);
    }
}

function stopCamera() {
    for (const track of stream.getTracks()) track.stop();
    stream = null;
    byId("live").hidden = true;
    byId("camera").textContent = "Start the camera";
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
    byId("camera").disabled = byId("files").disabled = false;
    byId("rejecting").hidden = Object.keys(settings.limits).length === 0;
    byId("reject").addEventListener("input", showShare);
    showShare();
    byId("files").addEventListener("change", async (event) => {
        await take([...event.target.files]);
        event.target.value = "";
    });
    byId("camera").addEventListener("click", () => {
        tell("");
        if (stream) stopCamera();
        else startCamera().catch((error) => tell(`The camera cannot be used: ${error.message}.`));
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
