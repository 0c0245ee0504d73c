"""The assistant: conversations, questions and replies."""
