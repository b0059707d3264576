%# Lines that begin with a percent sign are Python.
<p>The open tasks are:</p>
<table>
%for number, task in rows:
  <tr><td>{{number}}</td><td>{{task}}</td></tr>
%end
</table>
