def write_sheets(*a): pass
