"""The report page: pictures, sentences, curves and advice, in one file that opens anywhere.

What other parts call:

    from babeldraw.evaluation.reporting import document, pictures, reading, sections

    runs = [reading.read(name) for name in ("runs/tokenizer", "runs/text_to_image")]
    html = document.page("Title", "One sentence on top.", [
        document.Section("Prompts never seen", pictures.gallery(shown)),  # shown: pictures.Shown
        document.Section("Scores", document.table(("score", "value"), rows)),
        *sections.of(runs),  # pictures, sentences, alarms, curves, facts and advice of each run
    ])
    document.write("report.html", html)

Text becomes markup in `document` alone, which escapes it; a run directory is read as foreign data.
"""
