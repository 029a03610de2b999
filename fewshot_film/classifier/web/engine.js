// What classifies images in the page, in workers of it: images are prepared as Pillow prepares them, to the bit, and
// classified by the network. It asks for nothing: the page hands it all that it needs. It is no module, because a page
// that is opened from a file gets no worker that is one.

let settings, session, runtime;

// Begin with the settings, and as bytes the runtime's code and WebAssembly, and the network.
async function start({ settings: given, code, wasm, model }) {
    settings = given;
    runtime = await import(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
    runtime.env.wasm.wasmBinary = wasm;
    runtime.env.wasm.numThreads = 1; // several would share memory, which needs headers that a plain server does not send
    session = await runtime.InferenceSession.create(model, { executionProviders: ["wasm"] });
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

// ---------------------------------------------------------------- answers

// The classes' probabilities and distances for an image {width, height, channels, data}.
async function classify(image) {
    const { width, height, channels, data } = square(image);
    const input = new Float32Array(data.length);
    for (let pixel = 0; pixel < width * height; pixel++)
        for (let channel = 0; channel < channels; channel++)
            input[channel * width * height + pixel] = data[pixel * channels + channel] / 255;
    const images = new runtime.Tensor("float32", input, [1, channels, height, width]);
    const { probabilities, distances } = await session.run({ images });
    return { probabilities: Array.from(probabilities.data), nearest: Math.min(...distances.data) };
}

globalThis.engine = { start, classify };

// ---------------------------------------------------------------- the worker: one thing after the other

if (typeof WorkerGlobalScope !== "undefined") {
    let turn = Promise.resolve();
    onmessage = ({ data: { files, image } }) => {
        turn = turn
            .then(() => (files ? start(files) : classify(image)))
            .then((answer) => postMessage({ answer }))
            .catch((error) => postMessage({ error: error.message }));
    };
}
