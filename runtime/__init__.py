import os

if os.environ.get("ECO2_AUDIT"):
    from runtime import audit

    audit.start(os.environ["ECO2_AUDIT"])
