// The webcam: its frames go to the page one after another, for a live prediction, or into the class whose button is held.
window.fewshotWebcam = new (class {
    INTERVAL = 100; // milliseconds between two frames, at least
    PATIENCE = 5_000; // milliseconds, after which the next frame goes without an answer to the last
    SIDE = 320; // pixels of a frame's shorter side
    held = 0; // number of the class into which frames go; 0: none

    attach(element, trigger) {
        this.trigger = trigger;
        this.video = element.querySelector("video");
        this.message = element.querySelector("p");
        this.toggle = element.querySelector("[data-does=toggle]");
        this.keep = element.querySelector("[data-does=keep]");
        this.toggle.addEventListener("click", () => (this.stream ? this.stop() : this.start()));
        this.keep.addEventListener("click", () => trigger("submit", { frame: this.frame() }));
    }

    async start() {
        if (this.stream || this.isStarting) return;
        if (!navigator.mediaDevices) return this.show("Browsers allow the webcam only on localhost and over https.");
        this.isStarting = true;
        try {
            const video = { height: { ideal: 480 }, facingMode: "environment" };
            this.stream = await navigator.mediaDevices.getUserMedia({ video });
            this.video.srcObject = this.stream;
            await this.video.play();
            this.show("");
            this.send();
        } catch (error) {
            this.stop();
            this.show(`The webcam cannot be used: ${error.message}`);
        }
        this.isStarting = false;
    }

    stop() {
        this.held = 0;
        this.stream?.getTracks().forEach((track) => track.stop());
        this.stream = null;
        clearTimeout(this.timer);
        this.trigger("input", { frame: "", number: 0 }); // ends a recording
        this.show("");
    }

    show(message) {
        this.message.textContent = message;
        this.video.hidden = this.keep.hidden = !this.stream;
        this.toggle.textContent = this.stream ? "Stop webcam" : "Start webcam";
    }

    frame() {
        const { videoWidth, videoHeight } = this.video;
        const scale = this.SIDE / Math.min(videoWidth, videoHeight);
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [Math.round(videoWidth * scale), Math.round(videoHeight * scale)];
        canvas.getContext("2d").drawImage(this.video, 0, 0, canvas.width, canvas.height);
        return canvas.toDataURL("image/jpeg", 0.9);
    }

    send() {
        if (!this.stream) return;
        this.sent = performance.now();
        this.trigger("input", { frame: this.frame(), number: this.held });
        this.timer = setTimeout(() => this.send(), this.PATIENCE);
    }

    answered() {
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.send(), Math.max(0, this.INTERVAL - (performance.now() - this.sent)));
    }

    hold(button) {
        this.held = Number(button.id.replace("hold-", ""));
        this.start();
    }
})();

(() => {
    const held = ({ target }) => target.closest?.("button.hold");
    document.addEventListener("pointerdown", (event) => held(event) && window.fewshotWebcam.hold(held(event)));
    document.addEventListener("keydown", (event) => {
        if ([" ", "Enter"].includes(event.key) && held(event)) window.fewshotWebcam.hold(held(event));
    });
    document.addEventListener("contextmenu", (event) => held(event) && event.preventDefault()); // a long touch
    for (const end of ["pointerup", "pointercancel", "keyup", "blur"]) {
        window.addEventListener(end, () => (window.fewshotWebcam.held = 0));
    }
})();
