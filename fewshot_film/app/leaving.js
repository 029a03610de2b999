// A page with classes or images is not left unasked; a reload brings them back, another page does not.
window.addEventListener("beforeunload", (event) => {
    if (document.querySelector(".card, .queries li")) event.preventDefault();
});
