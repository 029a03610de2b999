"""The toolkit in the browser: ``fewshot-film app``.

What a tab does is in a module that knows nothing of the browser (:mod:`fewshot_film.app.teaching`,
:mod:`fewshot_film.app.comparing`); how it looks is in the one beside it (:mod:`fewshot_film.app.teach_tab`,
:mod:`fewshot_film.app.compare_tab`). The tab about CLEVR lives with CLEVR; :mod:`fewshot_film.app.layout`
puts all of them into one page.
"""
