// Gradio takes the number beside a slider when the focus leaves its box: Enter means the same.
document.addEventListener("keydown", ({ key, target }) => {
    if (key === "Enter" && target.matches("input[type=number]") && target.closest(".block")?.querySelector("input[type=range]")) {
        target.blur();
    }
});
