"""The asyncio shell: it feeds events to the pure machines and carries out their commands."""
