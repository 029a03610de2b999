// Images that can be clicked on have names, for those who hear the page; Gradio gives them none.
(() => {
    const NAMES = {
        scene: "The scene: choose one of its objects by a click here, or from the list below",
        why: "Where the answer came from",
        film: "Gamma and beta of every block",
    };
    new MutationObserver(() => {
        for (const [place, name] of Object.entries(NAMES)) {
            for (const button of document.querySelectorAll(`.${place} .image-container > button:not([aria-label])`)) {
                button.setAttribute("aria-label", name);
            }
        }
    }).observe(document, { childList: true, subtree: true });
})();
