// Gradio answers on one stream that the server ends when nothing is left to answer. An event that is sent while the end
// is on its way counts on that stream, and its answer is not read before the next event. So the page hears that an
// event was received only once the stream has spoken of it, or the page itself has let go of the stream.
(() => {
    const PATIENCE = 10_000; // milliseconds, after which an event goes on in any case
    const send = window.fetch;
    let stream = null;
    let page = null; // the name of this page, by which the server knows whose requests these are

    class Stream {
        heard = "";
        isOpen = true;
        waiting = [];

        constructor(signal) {
            signal?.addEventListener("abort", () => this.end());
        }

        async listen(body) {
            const decoder = new TextDecoder();
            try {
                for (const reader = body.getReader(); ; ) {
                    const { done, value } = await reader.read();
                    if (done) return; // the page is told by the last words, and aborts
                    this.heard += decoder.decode(value, { stream: true });
                    this.wake();
                }
            } catch {
                this.end();
            }
        }

        end() {
            this.isOpen = false;
            this.wake();
        }

        wake() {
            this.waiting = this.waiting.filter(({ event, go }) => !(this.settles(event) && (go(), true)));
        }

        settles(event) {
            return !this.isOpen || this.heard.includes(event);
        }

        async settled(event) {
            await new Promise((go) => {
                this.waiting.push({ event, go });
                setTimeout(go, PATIENCE);
                this.wake();
            });
        }
    }

    async function sendStream(input, init) {
        const mine = (stream = new Stream(init?.signal ?? input.signal));
        const response = await send(input, init);
        if (!response.body) return response;
        const [page, ours] = response.body.tee();
        mine.listen(ours);
        return new Response(page, response);
    }

    window.fetch = async (input, init) => {
        const address = String(input.url ?? input);
        page = address.match(/\/gradio_api\/heartbeat\/(\w+)/)?.[1] ?? page;
        if (page && address.includes("/gradio_api/")) {
            const headers = new Headers(init?.headers ?? input.headers);
            headers.set("x-page", page);
            init = { ...init, headers };
        }
        if (address.includes("/gradio_api/upload?")) return window.fewshotSend((signal) => send(input, { ...init, signal }));
        if (address.includes("/queue/data?")) return sendStream(input, init);
        const response = await send(input, init);
        if (address.includes("/queue/join") && response.ok && stream?.isOpen) {
            const { event_id } = await response.clone().json();
            await stream.settled(event_id);
        }
        return response;
    };
})();
