// An upload that takes more than a moment can be stopped while it is sent; its reading has a button of the page's own.
window.fewshotSend = async (send) => {
    const LONG = 1_000; // milliseconds
    const stop = new AbortController();
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "stop sending", textContent: "Stop upload" });
    button.addEventListener("click", () => stop.abort());
    const timer = setTimeout(() => document.querySelector(".gradio-container").append(button), LONG);
    try {
        return await send(stop.signal);
    } catch (error) {
        if (!stop.signal.aborted) throw error;
        return new Response("the upload was stopped", { status: 499 });
    } finally {
        clearTimeout(timer);
        button.remove();
    }
};
