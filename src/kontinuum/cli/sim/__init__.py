"""What ``kontinuum sim`` needs beside the simulator: finding scenarios, tables, a progress bar."""
